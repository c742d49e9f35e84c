// SPDX-License-Identifier: Apache-2.0
// The netlink calls of one ADD and nothing else: no daemon, no second thread, no look at the world before. The calls are those
// that the product's own planner makes for a new pod; they are recorded once and then repeated. Runs in the namespace of a
// node that has ENI 1 of the bench; prints the times in milliseconds as JSON. Argument: how often.
import type { SharedEniAttachment } from '#datapath/attachment.ts'
import { makeDatapath } from '#datapath/engine.ts'
import { hostIfName } from '#datapath/host-if-name.ts'
import { makeKernel } from '#kernel/kernel.ts'
import { parseIfName, parseNetnsPath } from '#kernel/names.ts'
import { NetlinkConn } from '#kernel/netlink/conn.ts'
import { openOwnNetns } from '#kernel/netns.ts'
import type { KernelOp } from '#kernel/op.ts'
import { KeptFiles } from '#kernel/worker/kept-files.ts'
import { Namespaces } from '#kernel/worker/namespaces.ts'
import { perform } from '#kernel/worker/perform.ts'
import { Pinned } from '#kernel/worker/pinned.ts'
import { reap } from '#kernel/worker/reap.ts'
import { Sockets } from '#kernel/worker/sockets.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'
import { parseCidr } from '#net/cidr.ts'
import { parseIpv4 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'
import { addNetns, benchEni } from './node/network.ts'

const eni = benchEni(1, 1)
const sandbox = 'alone-pod'
const device = hostIfName('default', sandbox, 'eth0')

/** Sets a pod up the usual way and answers the operations that this took; the ENI itself is ready from a first time. */
async function recorded(): Promise<readonly KernelOp[]> {
  const datapath = makeDatapath(await makeKernel(), { clock: realClock, log: silent })
  const gateway = parseIpv4(eni.gateway)
  const found = { eniId: eni.id, mac: parseMac(eni.mac), gateway4: gateway }
  const pod: SharedEniAttachment = {
    kind: 'shared-eni',
    containerId: 'alone',
    netns: parseNetnsPath(`/run/netns/${sandbox}`),
    ifName: parseIfName('eth0'),
    hostIfName: device,
    mtu: 1500,
    eni: found,
    v4: { address: parseIpv4(eni.addresses[0] ?? ''), subnet: parseCidr(eni.cidr), gateway },
    defaultRoute: true,
    extraRoutes: [],
  }
  await datapath.setup(pod)
  await datapath.withdraw(pod)
  await datapath.reap([device])
  const { ops } = await datapath.setup(pod)
  await datapath.close()
  return ops
}

addNetns(sandbox)
const ops = await recorded()
const pinned = new Pinned('/nowhere')
const sockets = new Sockets(pinned, undefined)
const home = { fd: openOwnNetns(), conn: new NetlinkConn(), procRoot: '/proc', kept: new KeptFiles(), pinned, sockets }
const undo = ops.flatMap((op): KernelOp[] => (op.op === 'rule-add' ? [{ ...op, op: 'rule-del' }] : []))
const batch = (list: readonly KernelOp[]) => {
  const namespaces = new Namespaces(home)
  for (const op of list) perform(op, namespaces)
  namespaces.close()
}
const times: number[] = []
for (let i = 0; i < Number(process.argv[2]); i++) {
  batch(undo)
  reap(home.conn, [{ name: device }])
  const start = performance.now()
  batch(ops)
  times.push(performance.now() - start)
}
console.log(JSON.stringify(times))
process.exit(0)
