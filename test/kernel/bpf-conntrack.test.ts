// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { after, before, test } from 'node:test'
import type { Kernel, TranslatedFlow } from '#kernel/port.ts'
import { until } from '../support/until.ts'
import { BpfLab, run } from './bpf-lab.ts'

let lab: BpfLab
let kernel: Kernel
before(async () => {
  lab = new BpfLab()
  kernel = await lab.kernel()
})
after(() => lab.close())

const inside = (...command: string[]) => run('ip', 'netns', 'exec', lab.host, ...command)
const rule = (program: string, text: string) => inside(program, '-t', 'nat', '-A', 'OUTPUT', ...text.split(' '))
/** A connection to nobody is not waited for. */
const send = (way: string) => spawn('ip', ['netns', 'exec', lab.host, 'bash', '-c', `echo . > /dev/${way}`], { stdio: 'ignore' }).unref()

/** A client's port is whatever it got: 0 here. */
function withoutClient({ protocol, original, reply }: TranslatedFlow): string {
  const [client, port] = [original.sourcePort, (n: number) => (n === client ? 0 : n)]
  const text = (t: typeof original) => `${t.source} ${port(t.sourcePort)} > ${t.destination} ${port(t.destinationPort)}`
  return `${protocol}: ${text(original)}, ${text(reply)}`
}

test('flows that are translated are told, in both families; the others are not', async () => {
  assert.deepEqual(await kernel.translatedFlows(), [])
  lab.ip(lab.host, 'route add 10.9.9.0/24 dev d0')
  lab.ip(lab.host, 'addr add fd99::1/64 dev d0 nodad')
  lab.ip(lab.host, '-6 route add fd77::/64 dev d0')
  rule('iptables', '-p udp -d 10.9.9.9 --dport 53 -j DNAT --to 192.0.2.2:5353')
  // Nobody is there: a refusal would end the flow.
  rule('iptables', '-p tcp -d 10.9.9.9 --dport 80 -j DNAT --to 192.0.2.77:8080')
  rule('ip6tables', '-p udp -d fd77::9 --dport 53 -j DNAT --to-destination [fd99::2]:5353')
  for (const way of ['udp/10.9.9.9/53', 'tcp/10.9.9.9/80', 'udp/fd77::9/53', 'udp/192.0.2.2/9', 'udp/fd99::2/9']) send(way)
  const wanted = [
    '17: 192.0.2.1 0 > 10.9.9.9 53, 192.0.2.2 5353 > 192.0.2.1 0',
    '17: fd99::1 0 > fd77::9 53, fd99::2 5353 > fd99::1 0',
    '6: 192.0.2.1 0 > 10.9.9.9 80, 192.0.2.77 8080 > 192.0.2.1 0',
  ]
  let found: string[] = []
  await until(async () => {
    found = (await kernel.translatedFlows()).map(withoutClient)
    return found.length >= wanted.length
  })
  assert.deepEqual(found.sort(), wanted.sort())
})
