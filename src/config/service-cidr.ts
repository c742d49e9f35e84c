// SPDX-License-Identifier: Apache-2.0
import { Fields } from '#config/fields.ts'
import { type Cidr, contains, familyOfCidr } from '#net/cidr.ts'
import type { Family, Ip } from '#net/ip.ts'
import { familiesOf, type Stack } from '#net/stack.ts'

export interface ServiceCidrs {
  readonly serviceCidr4?: Cidr
  readonly serviceCidr6?: Cidr
}

/** One key with a comma-separated list: at most one network of each family. */
export function readServiceCidrs(f: Fields, key: string): ServiceCidrs {
  const all = f
    .text(key, '')
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '')
    .flatMap(part => f.cidr(key, part))
  const [v4, v6] = ([4, 6] as const).map(family => {
    const [first, ...more] = all.filter(c => familyOfCidr(c) === family)
    if (more.length > 0) f.wrong(key, `names ${more.length + 1} IPv${family} networks, at most one is allowed`)
    return first
  })
  return { ...(v4 && { serviceCidr4: v4 }), ...(v6 && { serviceCidr6: v6 }) }
}

/** The families of pods of which no network of Services is named. */
export function unnamedFamilies(cidrs: ServiceCidrs, stack: Stack): readonly Family[] {
  return familiesOf(stack).filter(f => (f === 4 ? cidrs.serviceCidr4 : cidrs.serviceCidr6) === undefined)
}

/** Why a network of Services cannot be right: it has an address that is none of a Service. Undefined: nothing speaks against it. */
export function mistakeIn(cidr: Cidr, others: readonly Ip[]): string | undefined {
  const other = others.find(ip => contains(cidr, ip))
  return other && `the network of Services ${cidr} (service_cidr in eni_conf) contains ${other}, which is this node's or its pods'`
}

/** The data of kubeadm's ConfigMap kubeadm-config: where Terway looks when eni_conf names no network of Services. Throws `bad-config`. */
export async function kubeadmServiceCidrs(data: Readonly<Record<string, string>>): Promise<ServiceCidrs> {
  // Loaded only here: a node whose eni_conf is complete never needs the parser.
  const { parse } = await import('yaml')
  const cluster: unknown = parse(data.MasterConfiguration ?? data.ClusterConfiguration ?? '{}')
  const networking = typeof cluster === 'object' && cluster !== null && 'networking' in cluster ? cluster.networking : {}
  const f = new Fields('kubeadm-config', networking, 'networking.')
  const cidrs = readServiceCidrs(f, 'serviceSubnet')
  f.throwIfWrong()
  return cidrs
}
