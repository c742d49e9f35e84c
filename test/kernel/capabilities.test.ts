// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { chownSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { podArgs } from '../support/cni-client.ts'
import { ipsOf } from '../support/daemon-world.ts'
import { NetnsNode } from '../support/netns-node.ts'
import { until } from '../support/until.ts'

/*
 * terwayd with the capabilities of the chart's DaemonSet, and with all but one of them: each must be needed for something that
 * is named here.
 */
const skip = process.getuid?.() !== 0 && 'needs root'
const chart = readFileSync(join(import.meta.dirname, '../../deploy/chart/terway/templates/daemonset.yaml'), 'utf8')
/** Of the daemon's container: it comes after the init container, and the only one whose list goes on with the chart's own value. */
const listed = /capabilities: \{drop: \[ALL\], add: \[([A-Z_, ]+)\{\{.*extraCapabilities/.exec(chart)?.[1]?.split(', ') ?? []
/** The owner of the directory for CNI configurations: installers such as kubespray give it to a user of their own. */
const somebody = 1234

/** The command line under which a program has these capabilities and no way to any other, as in a container. */
function under(capabilities: readonly string[]): readonly string[] {
  const set = ['-all', ...capabilities.map(c => `+${c.toLowerCase()}`)].join(',')
  return ['setpriv', `--bounding-set=${set}`, `--inh-caps=${set}`, '--no-new-privs']
}

async function started(node: NetnsNode, capabilities: readonly string[]): Promise<void> {
  chownSync(node.options.hostCniDir, somebody, somebody)
  await node.start({ wrap: under(capabilities) })
}

const conflistOf = (node: NetnsNode) => join(node.options.hostCniDir, '10-terway.conflist')

function add(node: NetnsNode, pod: string) {
  node.cluster.pod(pod)
  return node.call({
    command: 'ADD',
    containerId: `c-${pod}`,
    netns: node.sandbox(`c-${pod}`),
    args: podArgs('default', pod, `uid-${pod}`),
  })
}

test('the capabilities of the DaemonSet are enough for everything, in both families', { skip }, async () => {
  await using node = new NetnsNode(['10.0.0.1', 'fd00:1::1'], {}, 'dual')
  await started(node, listed)
  await until(() => existsSync(conflistOf(node)))
  const reply = await add(node, 'web')
  assert.equal(reply.exit, 0, JSON.stringify(reply))
  const ips = ipsOf(reply)
  assert.equal(ips.length, 2)
  for (const address of ips) assert.ok(node.reaches(address), address)
  assert.equal((await node.del('c-web')).exit, 0)
  await until(() => !node.state().some(l => l.includes('cali')))
})

/** What fails without each. */
const needed: Readonly<Record<string, (node: NetnsNode) => Promise<void>>> = {
  NET_ADMIN: node => refused(node, 'a link cannot be made'),
  SYS_ADMIN: node => refused(node, "a pod's namespace cannot be entered"),
  DAC_OVERRIDE: async node => {
    const words = async () => (await node.call({ command: 'STATUS' })).body?.msg ?? ''
    await until(async () => /cannot write the CNI configuration: EACCES/.test(await words()))
    assert.equal(existsSync(conflistOf(node)), false, "somebody else's directory cannot be written to")
  },
}

async function refused(node: NetnsNode, what: string): Promise<void> {
  // Until the daemon is ready it refuses for that reason.
  await until(async () => {
    const reply = await add(node, 'web')
    assert.notEqual(reply.exit, 0, what)
    return /EPERM|not permitted/.test(reply.body?.msg ?? '')
  }, what)
}

test('every capability of the DaemonSet has its reason here', () => {
  assert.deepEqual(listed.toSorted(), Object.keys(needed).toSorted())
})

for (const [capability, fails] of Object.entries(needed)) {
  test(`without ${capability} something fails`, { skip }, async () => {
    await using node = new NetnsNode(['10.0.0.1', '10.0.0.2'])
    await started(
      node,
      listed.filter(c => c !== capability),
    )
    await fails(node)
  })
}
