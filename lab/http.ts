// SPDX-License-Identifier: Apache-2.0
import { familyOf } from '../sim/fabric/address.ts'
import { inside } from '../sim/fabric/fabric.ts'
import { type Ran, run } from '../sim/fabric/run.ts'
import { withPort } from '../src/net/ip.ts'
import type { Lab } from './lab.ts'
import { netnsOf } from './names.ts'
import type { Pod } from './pods.ts'

/** What a server said of the client that asked it. */
export interface Answer {
  readonly target: string
  /** The address that the server saw; undefined when there was no answer. */
  readonly client?: string
  /** The host name of the server: its pod. */
  readonly server?: string
}

/** One line per target: `target|body with blanks for line ends`. A refused or silent target has an empty body. (wget's own -T crashes Debian 12's static busybox.) */
const script = `for t in "$@"; do printf '%s|' "$t"; busybox timeout 3 busybox wget -q -O - "http://$t/" 2>/dev/null | busybox tr '\\n' ' '; echo; done`

/** A target: IPv6 stands in brackets. Without a port it is 80. */
export function hostPort(ip: string, port?: number): string {
  if (port !== undefined) return withPort(ip, port)
  return familyOf(ip) === 6 ? `[${ip}]` : ip
}

/** Real HTTP from a pod, by kubectl exec: one process asks all targets in turn. */
export async function fromPod(lab: Lab, pod: Pod, targets: readonly string[]): Promise<readonly Answer[]> {
  const where = ['exec', '-n', pod.metadata.namespace, pod.metadata.name, '--']
  const ran = await lab.kubectlRaw([...where, 'sh', '-c', script, 'sh', ...targets])
  if (ran.code !== 0) throw new Error(`kubectl exec ${pod.metadata.name}: ${ran.stderr.trim()}`)
  return answers(ran.stdout)
}

/** From a node's own network. */
export async function fromNode(lab: Lab, node: string, targets: readonly string[]): Promise<readonly Answer[]> {
  return answers(ok(await lab.node(node).exec(['sh', '-c', script, 'sh', ...targets])))
}

/** From the control plane's machine: an instance of the VPC that is in another security group than the pods. */
export async function fromControl(lab: Lab, targets: readonly string[]): Promise<readonly Answer[]> {
  return answers(ok(await run(inside(netnsOf(lab.names, 'control'), ['sh', '-c', script, 'sh', ...targets]))))
}

/** Throws with every answer that is not as `wanted` says. */
export function expectClients(all: readonly Answer[], wanted: (a: Answer) => string): string {
  const wrong = all.filter(a => a.client !== wanted(a))
  if (wrong.length === 0) return `${all.length} of ${all.length}`
  const shown = wrong.slice(0, 3).map(a => `${a.target} saw ${a.client ?? 'nobody: no answer'}, expected ${wanted(a)}`)
  throw new Error(`${wrong.length} of ${all.length} wrong: ${shown.join('; ')}`)
}

/** Exported for its test. */
export function answers(output: string): Answer[] {
  return output
    .trim()
    .split('\n')
    .map(line => {
      const [target = '', body = ''] = line.split('|')
      const named = /client=(\S+)(?: pod=(\S+))?/.exec(body)
      const client = named?.[1] ?? (body.trim() || undefined)
      return { target, ...(client !== undefined && { client }), ...(named?.[2] !== undefined && { server: named[2] }) }
    })
}

function ok(ran: Ran): string {
  if (ran.code !== 0) throw new Error(ran.stderr.trim())
  return ran.stdout
}
