// SPDX-License-Identifier: Apache-2.0

import { get } from '../../lab/get.ts'
import type { Lab } from '../../lab/lab.ts'
import { until } from '../../lab/process.ts'
import { familyOf } from '../../sim/fabric/address.ts'
import type { Node, Source } from './matrix.ts'
import { asked, type Parties, type Service } from './matrix-run.ts'

/** Ports of a Service of both protocols: its own, that of its pods, and that of the nodes. */
export interface Ports {
  readonly port: number
  readonly targetPort: number
  readonly nodePort?: number
}

/** A dual-stack Service of TCP and UDP; `spec` adds to it. */
export function serviceManifest(name: string, { port, targetPort, nodePort }: Ports, spec: object): object {
  const ports = ['TCP', 'UDP'].map(protocol => ({
    ...{ name: protocol.toLowerCase(), protocol, port, targetPort },
    ...(nodePort !== undefined && { nodePort }),
  }))
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ipFamilyPolicy: 'RequireDualStack', ports, ...spec } }
}

export async function makeService(lab: Lab, name: string, ports: Ports, spec: object): Promise<Service> {
  await lab.kubectl(['apply', '-f', '-'], JSON.stringify(serviceManifest(name, ports, spec)))
  return get<Service>(lab, 'service', name)
}

const protocols = ['tcp', 'udp'] as const
/** Targets of both protocols at each of the addresses. */
export function targetsAt(addresses: readonly string[], port: number): readonly string[] {
  return addresses.flatMap(ip => protocols.map(protocol => `${protocol} ${ip} ${port}`))
}

/** A node's address of each family, as a source of the matrix knows it: from outside IPv4 is the public one. */
export function doorOf({ lab, elastic }: Parties, node: Node, from: Source): readonly string[] {
  const { address, address6 = '' } = lab.node(node).identity
  return [from === 'outside' ? (elastic.get(address) ?? '') : address, address6]
}

/** What a client is told: the address that it is seen with, `refused`, or `nothing`. */
export interface Told {
  readonly target: string
  readonly family: 4 | 6
  readonly client: string
  readonly server: string | undefined
}

export async function tellsAll(p: Pick<Parties, 'lab' | 'asking'>, from: Source, targets: readonly string[]): Promise<readonly Told[]> {
  const answers = await asked(p, from, targets)
  return answers.map(({ target, client = 'nothing', server }) => ({ target, family: familyOf(target.split(' ')[1] ?? ''), client, server }))
}

/** Asks until all answers are right, so that what has just been made is known everywhere; returns in words what was wrong at last. */
export async function becomes(
  p: Pick<Parties, 'lab' | 'asking'>,
  from: Source,
  targets: readonly string[],
  right: (told: Told) => boolean,
): Promise<readonly string[]> {
  let wrong: readonly string[] = []
  await until(
    'all answers are right',
    120_000,
    async () => {
      const told = await tellsAll(p, from, targets)
      wrong = told.filter(one => !right(one)).map(({ target, client, server }) => `${from}: ${target}: ${client} ${server ?? ''}`)
      return wrong.length === 0
    },
    250,
  ).catch(() => {})
  return wrong
}
