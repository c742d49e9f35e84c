// SPDX-License-Identifier: Apache-2.0
import type { Lab, LabNode } from '../../lab/lab.ts'
import { until } from '../../lab/process.ts'

/** Runs a program on a node; its lines. Throws with what it said when it fails. */
export async function lines(node: LabNode, ...argv: readonly string[]): Promise<readonly string[]> {
  const ran = await node.exec(argv)
  if (ran.code !== 0) throw new Error(`${argv.join(' ')} on ${node.name}: ${ran.stderr.trim()}`)
  return ran.stdout
    .split('\n')
    .map(line => line.replaceAll(/\s+/g, ' ').trim())
    .filter(line => line !== '')
}

/** Ends a program of Terway's on a node without warning; its container starts it again. */
export function killProgram(lab: Lab, node: string, program: string): void {
  const found = lab
    .node(node)
    .programs()
    .find(p => p.argv.includes(`/usr/lib/terway/${program}.mjs`))
  if (found === undefined) throw new Error(`no ${program} on ${node}`)
  process.kill(found.pid, 'SIGKILL')
}

/** What the node's kernel has of Terway's, in both families, sorted: host ends of pods with their numbers, policy rules, routes of pods and of ENIs, and the node's own beside them. */
export async function terwayState(node: LabNode): Promise<readonly string[]> {
  const links = (await lines(node, 'ip', '-o', 'link')).flatMap(l => /^\d+: cali[0-9a-f]+@\S+/.exec(l)?.[0] ?? [])
  const both = async (...argv: readonly string[]) => [
    ...(await lines(node, 'ip', '-4', ...argv)),
    ...(await lines(node, 'ip', '-6', ...argv)),
  ]
  const rules = (await both('rule')).filter(l => /^(512|2048):/.test(l))
  // Of link-local and multicast addresses the kernel itself keeps routes.
  const all = (await both('route', 'show', 'table', 'all')).filter(l => !/\b(fe80|ff00):\S* dev cali/.test(l))
  const routes = all.filter(
    l => / dev cali/.test(l) || / table 10\d\d/.test(l) || (/ dev eth\d/.test(l) && !/ (table|proto kernel) /.test(l)),
  )
  return [...links, ...rules, ...routes].sort()
}

/**
 * Addresses of the node's ENIs and of its pods that wait for duplicate detection. Link-local ones are the kernel's own, which also where it detects no
 * duplicates are usable a moment later.
 */
export async function tentative(node: LabNode): Promise<readonly string[]> {
  const show = '-6 -o addr show scope global tentative'
  const script = `ip ${show}; for ns in $(ls /run/netns); do ip -n "$ns" ${show}; done`
  return lines(node, 'sh', '-c', script)
}

/** What `work` has changed on the node's links, routes and rules, as `ip monitor` tells it; throws when the monitor tells nothing of a link of ours. */
export async function changesDuring(node: LabNode, work: () => Promise<void>): Promise<readonly string[]> {
  const [stop, log, probe] = ['/run/monitor-stop', '/run/monitor-log', 'monitorprobe']
  const script = `rm -f ${stop} ${log}; ip monitor link route rule >> ${log} & monitor=$!; while [ ! -e ${stop} ]; do sleep 0.2; done; kill $monitor`
  const monitor = node.exec(['sh', '-c', script])
  const told = async () => (await lines(node, 'sh', '-c', `cat ${log} 2>/dev/null || true`)).join('\n')
  try {
    await until('the monitor listens', 120_000, async () => {
      await lines(node, 'ip', 'link', 'add', probe, 'type', 'veth', 'peer', 'name', `${probe}2`)
      await lines(node, 'ip', 'link', 'del', probe)
      return (await told()).includes(probe)
    })
    await lines(node, 'sh', '-c', `: > ${log}`)
    await work()
    return (await told()).split('\n').filter(line => line !== '' && !line.includes(probe))
  } finally {
    await node.exec(['touch', stop])
    await monitor
  }
}
