// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { partOf, parts, sharesOf } from './stacks.ts'

test('a sample belongs to the innermost function that is known', () => {
  const sending = ['__dev_queue_xmit', 'ip_finish_output2', 'ip_output', '__tcp_transmit_skb', 'tcp_sendmsg', 'do_syscall_64']
  assert.equal(partOf(sending), 'devices')
  assert.equal(partOf(['__pi_memcpy', 'veth_xmit', 'dev_hard_start_xmit', ...sending]), 'devices')
  assert.equal(partOf(sending.slice(1)), 'ip')
  const program = ['bpf_prog_06305c684c799ef0_pod_in', 'cls_bpf_classify', 'tc_run', ...sending]
  assert.equal(partOf(program), 'programs')
  assert.equal(partOf(['read_tsc', 'bpf_ktime_get_ns', ...program]), 'programs')
  assert.equal(partOf(['htab_map_hash', '__htab_map_lookup_elem', ...program]), 'maps')
  assert.equal(partOf(['pskb_expand_head', 'skb_ensure_writable', 'bpf_skb_store_bytes', ...program]), 'packet')
  assert.equal(partOf(['cls_bpf_classify', 'tc_run', '__netif_receive_skb_core.constprop.0', ...sending]), 'hooks')
  assert.equal(partOf(['finish_task_switch.isra.0', '__schedule', 'schedule', 'sk_wait_data', 'tcp_recvmsg']), 'tasks')
  assert.equal(partOf(['fdget', '__sys_sendto', 'do_syscall_64']), 'calls')
  assert.equal(partOf([]), 'calls')
})

test('shares are of the samples of one command', () => {
  const script = `swapper
\tffffffff8203ab48 veth_xmit
\tffffffff82025c5e tcp_sendmsg

pingpong
\tffffffff8203ab48 veth_xmit
\t          409629 [unknown]

pingpong
\tffffffff82025c5e tcp_ack
\tffffffff82025c5e ip_rcv
`
  const shares = sharesOf(script, 'pingpong')
  assert.deepEqual([shares.devices, shares.tcp], [0.5, 0.5])
  assert.equal(
    parts.reduce((sum, part) => sum + shares[part], 0),
    1,
  )
  assert.throws(() => sharesOf('', 'pingpong'), /no sample/)
})
