// SPDX-License-Identifier: Apache-2.0
import type { LabNode } from '../../lab/lab.ts'

/** Runs a program on a node; its lines. Throws with what it said when it fails. */
export async function lines(node: LabNode, ...argv: readonly string[]): Promise<readonly string[]> {
  const ran = await node.exec(argv)
  if (ran.code !== 0) throw new Error(`${argv.join(' ')} on ${node.name}: ${ran.stderr.trim()}`)
  return ran.stdout
    .split('\n')
    .map(line => line.replaceAll(/\s+/g, ' ').trim())
    .filter(line => line !== '')
}

/** What the node's kernel has of Terway's, sorted: host ends of pods with their numbers, policy rules, routes of pods and of ENIs. */
export async function terwayState(node: LabNode): Promise<readonly string[]> {
  const links = (await lines(node, 'ip', '-o', 'link')).flatMap(l => /^\d+: cali[0-9a-f]+@\S+/.exec(l)?.[0] ?? [])
  const rules = (await lines(node, 'ip', 'rule')).filter(l => /^(512|2048):/.test(l))
  const routes = (await lines(node, 'ip', 'route', 'show', 'table', 'all')).filter(l => / dev cali/.test(l) || / table 10\d\d/.test(l))
  return [...links, ...rules, ...routes].sort()
}

/** What `work` has changed on the node's links, routes and rules, as `ip monitor` tells it. */
export async function changesDuring(node: LabNode, work: () => Promise<void>): Promise<readonly string[]> {
  const stop = '/run/monitor-stop'
  const script = `rm -f ${stop}; ip monitor link route rule & monitor=$!; while [ ! -e ${stop} ]; do sleep 0.2; done; kill $monitor`
  const monitor = node.exec(['sh', '-c', script])
  // The monitor counts from the first change that it is asked to tell.
  const probe = 'monitorprobe'
  try {
    await node.exec(['ip', 'link', 'add', probe, 'type', 'dummy'])
    await work()
  } finally {
    await node.exec(['ip', 'link', 'del', probe])
    await node.exec(['touch', stop])
  }
  return (await monitor).stdout.split('\n').filter(line => line !== '' && !line.includes(probe))
}
