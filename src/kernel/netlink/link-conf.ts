// SPDX-License-Identifier: Apache-2.0
import { Attrs } from '#kernel/netlink/attr.ts'
import type { Message } from '#kernel/netlink/conn.ts'
import { addressFamily } from '#kernel/netlink/header.ts'

const ifla = { afSpec: 26, inetConf: 1, inet6Conf: 2 } as const

/** Where a setting is in the kernel's arrays: IPV4_DEVCONF_* of linux/ip.h (which count from 1), DEVCONF_* of linux/ipv6.h. */
const places = {
  ipv4: { forwarding: 0, rp_filter: 7 },
  ipv6: { forwarding: 0, accept_ra: 3, disable_ipv6: 26, accept_dad: 27 },
} as const satisfies Record<string, Readonly<Record<string, number>>>

/** Settings of one device by family and name. A family that the device does not have is missing. */
export type LinkConf = { readonly [K in keyof typeof places]?: Readonly<Record<string, string>> }

/** The value of a sysctl such as `net/ipv6/conf/eth0/accept_ra`; undefined for another device or setting than those given. */
export function confValue(confs: ReadonlyMap<string, LinkConf>, key: string): string | undefined {
  const [, family, kind, dev = '', name = ''] = key.split('/')
  if (kind !== 'conf' || (family !== 'ipv4' && family !== 'ipv6')) return undefined
  return confs.get(dev)?.[family]?.[name]
}

/** The kernel tells all settings of a device together with its other properties: they cost less than one of their files. */
export function parseLinkConf({ data, start, end }: Message): LinkConf {
  const conf: { -readonly [K in keyof LinkConf]: LinkConf[K] } = {}
  for (const attrs = new Attrs(data, start + 16, end); attrs.next(); ) {
    if (attrs.type !== ifla.afSpec) continue
    for (const family = attrs.nested(); family.next(); ) {
      if (family.type === addressFamily.inet) conf.ipv4 = settings(family.nested(), ifla.inetConf, places.ipv4)
      else if (family.type === addressFamily.inet6) conf.ipv6 = settings(family.nested(), ifla.inet6Conf, places.ipv6)
    }
  }
  return conf
}

function settings(attrs: Attrs, wanted: number, at: Readonly<Record<string, number>>): Record<string, string> {
  while (attrs.next()) {
    if (attrs.type !== wanted) continue
    const values = attrs.bytes()
    return Object.fromEntries(Object.entries(at).map(([name, place]) => [name, String(values.readInt32LE(place * 4))]))
  }
  return {}
}
