// SPDX-License-Identifier: Apache-2.0
import { parentPort, workerData } from 'node:worker_threads'
import type { WorkerSetup } from '#kernel/worker/protocol.ts'
import { serve } from '#kernel/worker/worker.ts'

if (parentPort === null) throw new Error('this file is the entry of the netlink thread; it is started by makeKernel')
serve(parentPort, workerData as WorkerSetup)
