// SPDX-License-Identifier: Apache-2.0
// Run by datapath-container.test.ts inside a mount namespace like a container's. Arguments: the namespace that plays the
// host, a pod's namespace, the proc to write through. Prints the result of each write.
import { makeKernel } from '#kernel/kernel.ts'
import { parseNetnsPath } from '#kernel/names.ts'
import type { KernelOp } from '#kernel/op.ts'

const [hostNetns = '', pod = '', procRoot = ''] = process.argv.slice(2)
const kernel = await makeKernel({ hostNetns, procRoot })
const writes: KernelOp[] = [
  { op: 'sysctl-set', ns: 'host', key: 'net/ipv4/conf/default/rp_filter', value: '2' },
  { op: 'sysctl-set', ns: parseNetnsPath(pod), key: 'net/ipv6/conf/lo/accept_ra', value: '0' },
]
for (const write of writes) {
  const { failed } = await kernel.apply([write])
  process.stdout.write(`${failed?.errno ?? 'ok'}\n`)
}
await kernel.close()
