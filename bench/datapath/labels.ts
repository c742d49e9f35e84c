// SPDX-License-Identifier: Apache-2.0
import type { Between, Kind, Work } from './cells.ts'

/** As short as a picture or a table needs it. */
export const kindLabels: Readonly<Record<Kind, string>> = {
  veth: 'regular',
  veth_nft: 'kube-proxy nftables',
  veth_ipt: 'kube-proxy iptables',
  veth_svc: 'regular, programs',
  minimal: 'redirect only',
  minimal_block: 'redirect only, as V2',
  v2_nopolicy: 'V2, bare',
  v2: 'V2',
  v2_svc1: 'V2, 1 Service',
  v2_svc100: 'V2, 100 Services',
  v2_svc10k: 'V2, 10 000 Services',
  v2_ct10k: 'V2, 10 000 others',
  v2_ct1m: 'V2, 1 000 000 others',
  exclusive: 'own ENI',
}
export const placeLabels: Readonly<Record<Between, string>> = {
  crossnode: 'across nodes',
  samenode: 'on one node',
  service: 'to a Service',
  node: 'from the node',
  socket: 'from the node to a Service, against without',
}
export const workLabels: Readonly<Record<Work, string>> = {
  tcp_rr: 'TCP: byte and back',
  udp_rr: 'UDP: byte and back',
  crr: 'TCP: connection',
  stream: 'TCP: stream',
}
