// SPDX-License-Identifier: Apache-2.0
// Makes a node what it is to be, as terwayd does when it starts. Argument: where the node is, its pods, and what it is to be, as JSON.
import { makeDatapath } from '#datapath/engine.ts'
import { makeKernel } from '#kernel/kernel.ts'
import { realClock } from '#lib/clock.ts'
import { silent } from '#lib/log.ts'

const { places, pods, node } = JSON.parse(process.argv[2] ?? '')
const datapath = makeDatapath(await makeKernel(places), { clock: realClock, log: silent })
await datapath.setNode(node, pods)
await datapath.close()
