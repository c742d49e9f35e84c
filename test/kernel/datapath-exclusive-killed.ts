// SPDX-License-Identifier: Apache-2.0
// Brings a pod with an ENI for itself up or takes it down, as terwayd does. Argument: where the node is, the pod, and which of both, as JSON.
import { makeDatapath } from '#datapath/engine.ts'
import { makeKernel } from '#kernel/kernel.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'

const { places, pod, up } = JSON.parse(process.argv[2] ?? '')
const datapath = makeDatapath(await makeKernel(places), { clock: realClock, log: silent })
if (up) await datapath.setup(pod)
else {
  await datapath.withdraw(pod)
  await datapath.reap([pod.hostIfName])
}
await datapath.close()
