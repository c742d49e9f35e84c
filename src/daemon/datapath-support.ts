// SPDX-License-Identifier: Apache-2.0
import type { BpfProbe } from '#kernel/port.ts'
import type { Family } from '#net/ip.ts'

/** What each feature needs, for a person who wants it. */
const wayOut: Readonly<Record<BpfProbe['feature'], string>> = {
  'bpf-file-system': 'mount one at /sys/fs/bpf of the host (mount -t bpf bpf /sys/fs/bpf)',
  maps: 'Linux 5.10 or newer with CONFIG_BPF_SYSCALL, and the capability SYS_ADMIN',
  programs: 'Linux 5.10 or newer with CONFIG_BPF_SYSCALL, and the capability SYS_ADMIN',
  'clsact-blocks': 'Linux 5.10 or newer with CONFIG_NET_CLS_ACT, CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS',
  'socket-programs': 'Linux 5.10 or newer with CONFIG_CGROUP_BPF, and the root of cgroup 2 in the container',
  'netns-cookie': 'Linux 5.14 or newer',
}

/** Of these only the node's own sockets have need: pods are served without. */
const ofSockets: readonly BpfProbe['feature'][] = ['socket-programs', 'netns-cookie']

/** Of which families of pods no network of Services is known, and what is wrong with those that were named. */
export interface ServiceNetworks {
  readonly unnamed: readonly Family[]
  readonly mistakes: readonly string[]
}

/** What keeps a node from having programs, each with its way out; none = nothing does. Without `networks` none is needed. */
export function missingForPrograms(probes: readonly BpfProbe[], networks?: ServiceNetworks): readonly string[] {
  const { unnamed = [], mistakes = [] } = networks ?? {}
  const services = unnamed.map(f => `the IPv${f} network of Services is not known (set service_cidr in eni_conf)`)
  return [...services, ...mistakes, ...lacking(probes.filter(p => !ofSockets.includes(p.feature)))]
}

/** What keeps processes on the node's own network from Services without kube-proxy. */
export function missingForSockets(probes: readonly BpfProbe[]): readonly string[] {
  return lacking(probes.filter(p => ofSockets.includes(p.feature)))
}

function lacking(probes: readonly BpfProbe[]): readonly string[] {
  return probes.filter(p => !p.ok).map(p => `the kernel lacks ${p.feature}: ${p.explanation} (needs: ${wayOut[p.feature]})`)
}
