// SPDX-License-Identifier: Apache-2.0
// Probes with what this process may do, and prints what it found.
import { makeKernel } from '#kernel/kernel.ts'

const kernel = await makeKernel({ pins: process.argv[2] ?? '' })
process.stdout.write(JSON.stringify(await kernel.probePrograms()))
await kernel.close()
