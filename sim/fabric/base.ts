// SPDX-License-Identifier: Apache-2.0

/** Where the simulated cloud answers inside the VPC. */
export const METADATA_ADDRESS = '100.100.100.200'
export const OPENAPI_ADDRESS = '100.100.0.10'

/** The internet side (a documentation range, RFC 5737 and 3849): one SNAT address for the VPC, elastic addresses, and hosts. */
export const INTERNET = {
  cidr4: '203.0.113.0/24',
  snat4: '203.0.113.1',
  /** Elastic addresses are 203.0.113.2 … 203.0.113.199; above them are those of balancers. */
  eip4: { first: 2, last: 199 },
  host4: '203.0.113.254',
  host6: '2001:db8:113::254',
} as const

const FABRIC_MAC = '02:cb:00:71:00:01'
const INTERNET_MAC = '02:cb:00:71:00:fe'

/** Kernel settings of the fabric's namespace: `net/…` keys. Interfaces made later inherit them. */
export const FABRIC_SYSCTLS: readonly (readonly [string, string])[] = [
  ['ipv4/ip_forward', '1'],
  ['ipv6/conf/all/forwarding', '1'],
  ['ipv4/conf/all/proxy_arp', '1'],
  ...['all', 'default'].flatMap(dev => [[`ipv4/conf/${dev}/rp_filter`, '0'] as const, [`ipv4/conf/${dev}/send_redirects`, '0'] as const]),
  ['ipv6/conf/default/accept_ra', '0'],
  ['ipv6/conf/default/accept_dad', '0'],
  ['netfilter/nf_conntrack_tcp_be_liberal', '1'],
]

export const INTERNET_SYSCTLS: readonly (readonly [string, string])[] = [
  ['ipv4/ip_forward', '1'],
  ['ipv6/conf/all/forwarding', '1'],
  ...['all', 'default'].flatMap(dev => [[`ipv4/conf/${dev}/rp_filter`, '0'] as const, [`ipv4/conf/${dev}/send_redirects`, '0'] as const]),
  ['ipv6/conf/default/accept_dad', '0'],
]

/**
 * `ip -batch` for the fabric: the cloud's own addresses on lo, and the link to the internet. Neither end resolves the
 * other. The SNAT address is on no interface: a packet to it goes to the internet side and comes back into conntrack,
 * which is how a machine reaches an elastic address of its own VPC.
 */
export function fabricBase(internetNetns: string): readonly string[] {
  return [
    'link set dev lo up',
    `address replace ${METADATA_ADDRESS}/32 dev lo`,
    `address replace ${OPENAPI_ADDRESS}/32 dev lo`,
    `link add dev inet address ${FABRIC_MAC} mtu 1500 type veth peer name vpc address ${INTERNET_MAC} mtu 1500 netns ${internetNetns}`,
    'link set dev inet up',
    `neighbour replace ${INTERNET.host4} lladdr ${INTERNET_MAC} dev inet nud permanent`,
    `neighbour replace fe80::1 lladdr ${INTERNET_MAC} dev inet nud permanent`,
    `route replace default via ${INTERNET.host4} dev inet onlink`,
    'route replace default via fe80::1 dev inet onlink',
  ]
}

export function internetBase(): readonly string[] {
  return [
    'link set dev lo up',
    'link set dev vpc up',
    `address replace ${INTERNET.host4}/32 dev vpc`,
    `address replace ${INTERNET.host6}/128 dev vpc nodad`,
    `neighbour replace ${INTERNET.snat4} lladdr ${FABRIC_MAC} dev vpc nud permanent`,
    `neighbour replace fe80::1 lladdr ${FABRIC_MAC} dev vpc nud permanent`,
    `route replace ${INTERNET.cidr4} via ${INTERNET.snat4} dev vpc onlink`,
    'route replace default via fe80::1 dev vpc onlink',
  ]
}

/** The fixed part of the firewall; sets, maps and chains that change are kept by `plan`. */
export const NFT_BASE = `table inet fabric {
  set checked { type ifname; }
  set source4 { type ifname . ipv4_addr; flags interval; }
  set source6 { type ifname . ipv6_addr; flags interval; }
  map egress { type ifname : verdict; }
  map ingress { type ifname : verdict; }
  map eip-in { type ipv4_addr : ipv4_addr; }
  map eip-out { type ipv4_addr : ipv4_addr; }
  map listeners4 { type ipv4_addr . inet_proto . inet_service : verdict; }
  map listeners6 { type ipv6_addr . inet_proto . inet_service : verdict; }
  chain source {
    type filter hook prerouting priority raw; policy accept;
    iifname @checked meta nfproto ipv4 iifname . ip saddr != @source4 counter drop
    iifname @checked ip6 saddr != { ::, fe80::/10 } iifname . ip6 saddr != @source6 counter drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    iifname vmap @egress
    oifname vmap @ingress
  }
  chain elastic {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "inet" dnat ip to ip daddr map @eip-in
    ip daddr . meta l4proto . th dport vmap @listeners4
    ip6 daddr . meta l4proto . th dport vmap @listeners6
  }
  chain outward {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "inet" snat ip to ip saddr map @eip-out
    oifname "inet" meta nfproto ipv4 snat ip to ${INTERNET.snat4}
  }
}
`
