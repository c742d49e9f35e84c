// SPDX-License-Identifier: Apache-2.0
// Rules like those that kube-proxy writes for these Services in its nftables and its iptables mode: the chains, hooks and matches that a packet
// between two pods, or from a pod to a Service, goes through. Written here and not by kube-proxy, which needs a cluster.
import { execFileSync } from 'node:child_process'
import { type BenchService, servicePort } from './services.ts'

/** In the node's namespace. */
export function loadRules(node: string, kind: 'nftables' | 'iptables', services: readonly BenchService[]): void {
  const [program, input] = kind === 'nftables' ? [['nft', '-f', '-'], nftables(services)] : [['iptables-restore'], iptables(services)]
  execFileSync('ip', ['netns', 'exec', node, ...program], { input, stdio: ['pipe', 'inherit', 'inherit'] })
}

function nftables(services: readonly BenchService[]): string {
  const chains = services.flatMap(({ name, ip, endpoints }) => [
    ...endpoints.map(
      (to, e) =>
        `chain endpoint-${name}-${e} { ip saddr ${to.ip} jump mark-for-masquerade; meta l4proto tcp dnat to ${to.ip}:${to.port}; }`,
    ),
    `chain service-${name} { ip daddr ${ip} tcp dport ${servicePort} ip saddr != 10.0.0.0/16 jump mark-for-masquerade;
      numgen random mod ${endpoints.length} vmap { ${endpoints.map((_, e) => `${e} : goto endpoint-${name}-${e}`).join(', ')} }; }`,
  ])
  return `table ip kube-proxy {
    set cluster-ips { type ipv4_addr; elements = { ${services.map(s => s.ip).join(', ')} }; }
    map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
    map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
    map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }
    map service-nodeports { type inet_proto . inet_service : verdict; }
    map service-ips { type ipv4_addr . inet_proto . inet_service : verdict;
      elements = { ${services.map(s => `${s.ip} . tcp . ${servicePort} : goto service-${s.name}`).join(', ')} }; }
    chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
    chain masquerading { meta mark and 0x4000 == 0 return; meta mark set meta mark xor 0x4000; masquerade fully-random; }
    ${chains.join('\n    ')}
    chain services { ip daddr . meta l4proto . th dport vmap @service-ips;
      ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @service-nodeports; }
    chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
    chain nodeport-endpoints-check { fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports; }
    chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips; }
    chain cluster-ips-check { ip daddr @cluster-ips reject; }
    chain filter-prerouting { type filter hook prerouting priority dstnat - 10; ct state new jump firewall-check; }
    chain filter-input { type filter hook input priority filter; ct state new jump nodeport-endpoints-check; ct state new jump service-endpoints-check; }
    chain filter-forward { type filter hook forward priority filter; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
    chain filter-output { type filter hook output priority -110; ct state new jump service-endpoints-check; ct state new jump firewall-check; }
    chain filter-output-post-dnat { type filter hook output priority -90; ct state new jump cluster-ips-check; }
    chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
    chain nat-output { type nat hook output priority -100; jump services; }
    chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
  }`
}

function iptables(services: readonly BenchService[]): string {
  const chainsOf = services.flatMap(({ name, endpoints }) => [
    `:KUBE-SVC-${name} -`,
    ...endpoints.map((_, e) => `:KUBE-SEP-${name}${'AB'[e]} -`),
  ])
  const rulesOf = services.flatMap(({ name, ip, endpoints }) => [
    `-A KUBE-SERVICES -d ${ip}/32 -p tcp -m comment --comment "default/${name} cluster IP" -m tcp --dport ${servicePort} -j KUBE-SVC-${name}`,
    `-A KUBE-SVC-${name} ! -s 10.0.0.0/16 -d ${ip}/32 -p tcp -m tcp --dport ${servicePort} -j KUBE-MARK-MASQ`,
    ...endpoints.slice(1).map(() => `-A KUBE-SVC-${name} -m statistic --mode random --probability 0.5 -j KUBE-SEP-${name}B`),
    `-A KUBE-SVC-${name} -j KUBE-SEP-${name}A`,
    ...endpoints.flatMap((to, e) => [
      `-A KUBE-SEP-${name}${'AB'[e]} -s ${to.ip}/32 -j KUBE-MARK-MASQ`,
      `-A KUBE-SEP-${name}${'AB'[e]} -p tcp -m tcp -j DNAT --to-destination ${to.ip}:${to.port}`,
    ]),
  ])
  return `${[
    '*nat',
    ...[':KUBE-SERVICES -', ':KUBE-POSTROUTING -', ':KUBE-MARK-MASQ -', ':KUBE-NODEPORTS -'],
    ...chainsOf,
    '-A PREROUTING -j KUBE-SERVICES',
    '-A OUTPUT -j KUBE-SERVICES',
    '-A POSTROUTING -j KUBE-POSTROUTING',
    '-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000',
    '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
    '-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0',
    '-A KUBE-POSTROUTING -j MASQUERADE --random-fully',
    ...rulesOf,
    '-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
    'COMMIT',
    '*filter',
    ...[
      ':KUBE-SERVICES -',
      ':KUBE-EXTERNAL-SERVICES -',
      ':KUBE-NODEPORTS -',
      ':KUBE-FORWARD -',
      ':KUBE-PROXY-FIREWALL -',
      ':KUBE-FIREWALL -',
    ],
    ...['INPUT', 'FORWARD', 'OUTPUT'].map(chain => `-A ${chain} -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL`),
    '-A INPUT -j KUBE-NODEPORTS',
    '-A INPUT -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES',
    '-A INPUT -j KUBE-FIREWALL',
    '-A FORWARD -j KUBE-FORWARD',
    ...['FORWARD', 'OUTPUT'].map(chain => `-A ${chain} -m conntrack --ctstate NEW -j KUBE-SERVICES`),
    '-A FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES',
    '-A OUTPUT -j KUBE-FIREWALL',
    '-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    '-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT',
    '-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    'COMMIT',
  ].join('\n')}\n`
}
