// SPDX-License-Identifier: Apache-2.0

/** What the time of a packet's way is spent on, from what runs in our programs to what every connection pays. */
export const parts = ['programs', 'maps', 'packet', 'hooks', 'devices', 'ip', 'tcp', 'tasks', 'calls'] as const
export type Part = (typeof parts)[number]

/** Functions of the kernel. What they call belongs to them as far as it is in no other list: memory, locks, copies, clocks. */
const functions: Readonly<Record<Exclude<Part, 'calls'>, RegExp>> = {
  programs: /^bpf_prog_/,
  maps: /^(_*htab_|lookup_nulls_|trie_lookup_elem|longest_prefix_match|array_map_|percpu_array_|bpf_percpu_|_*bpf_lru_|bpf_map_)/,
  packet: /^(bpf_skb_|bpf_l[34]_csum_|bpf_csum_)/,
  hooks: /^(tc_run|tcx_run|tcf_classify|cls_bpf_classify|__tcf_classify|sch_handle_|skb_do_redirect|__bpf_redirect)/,
  devices:
    /^(veth_|_*netif_|enqueue_to_backlog|process_backlog|net_rx_action|__napi_poll|_*dev_|validate_xmit|handle_softirqs|do_softirq|__local_bh_enable_ip|eth_|skb_defer_free_flush)/,
  ip: /^(_*ip6?_|fib6?_|__fib|_*neigh_|_*nf_|nft_|ipt_|rt6?_|ipv[46]_|raw6?_local_deliver|icmp)/,
  tcp: /^(_*tcp_|_*udp|_*inet6?_|_*sk_|_*sock_|lock_sock|release_sock|reqsk_|__skb_)/,
  tasks: /^(schedule|__schedule|finish_task_switch|try_to_wake_up|ttwu_|wait_woken|woken_wake|__wake_up|prepare_to_wait|sock_def_readable)/,
}
const inOrder = Object.entries(functions) as [Exclude<Part, 'calls'>, RegExp][]

/** By the innermost function that is in a list; what is in none is the system calls themselves, and the program that makes them. */
export function partOf(stack: readonly string[]): Part {
  for (const name of stack) {
    const found = inOrder.find(([, pattern]) => pattern.test(name))
    if (found !== undefined) return found[0]
  }
  return 'calls'
}

/** How much of the samples of this command each part has, from what `perf script -F comm,ip,sym` prints; innermost functions come first. */
export function sharesOf(script: string, command: string): Readonly<Record<Part, number>> {
  const stacks = script.split('\n\n').flatMap(sample => {
    const [head = '', ...frames] = sample.trim().split('\n')
    return head.trim() === command ? [frames.map(frame => frame.trim().split(' ')[1] ?? '')] : []
  })
  if (stacks.length === 0) throw new Error(`no sample of ${command}`)
  const found = stacks.map(partOf)
  return Object.fromEntries(parts.map(part => [part, found.filter(p => p === part).length / stacks.length])) as Record<Part, number>
}
