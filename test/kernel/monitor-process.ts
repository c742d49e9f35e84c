// SPDX-License-Identifier: Apache-2.0
// terway-cli monitor on a lab's node. Arguments: the kernel's options as JSON, then those of the command.
import { makeProgram } from '#cli/program.ts'
import { stopped } from '#cli/stopped.ts'
import { openEvents } from '#kernel/bpf/ring.ts'
import { makeKernel } from '#kernel/kernel.ts'
import { AppError } from '#lib/errors.ts'

const [options = '{}', ...words] = process.argv.slice(2)
const absent = async () => Promise.reject(new AppError('absent', 'a lab has none'))
const program = makeProgram({
  out: line => process.stdout.write(`${line}\n`),
  connect: () => {
    throw new AppError('daemon-unreachable', 'a lab has no daemon')
  },
  metadata: () => ({ get: absent }),
  kernel: () => makeKernel(JSON.parse(options)),
  policy: absent,
  switchPath: '',
  findPod: absent,
  findService: absent,
  findNode: absent,
  events: async () => openEvents(JSON.parse(options).pins),
  stopped,
})
await program.parseAsync(['monitor', ...words], { from: 'user' })
