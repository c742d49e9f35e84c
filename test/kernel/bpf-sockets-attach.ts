// SPDX-License-Identifier: Apache-2.0
// Loads and attaches, says so, and waits to be killed. Arguments: the host's namespace, pins, object, cgroup.
import { attachSockets } from '#datapath/v2/sockets.ts'
import { makeKernel } from '#kernel/kernel.ts'

const [host = '', pins = '', object = '', cgroup = ''] = process.argv.slice(2)
const kernel = await makeKernel({ hostNetns: `/run/netns/${host}`, pins, object, cgroup })
const { generation } = await kernel.loadPrograms()
await attachSockets(kernel, generation)
process.stdout.write('ready\n')
setInterval(() => {}, 1000)
