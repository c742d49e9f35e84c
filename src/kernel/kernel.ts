// SPDX-License-Identifier: Apache-2.0
import type { Kernel } from '#kernel/port.ts'

export interface KernelOptions {
  /** A namespace that plays the host: tests run against one of their own. Default: the process's namespace. */
  readonly hostNetns?: string
  /** Where a writable proc is mounted, default /proc. In a container /proc/sys is read-only: mount the host's /proc and say `/host/proc`. */
  readonly procRoot?: string
  /** The worker's entry. Default: worker-main.ts beside this file, or terwayd-netlink.mjs beside the bundle. */
  readonly workerUrl?: URL
}

export declare function makeKernel(options?: KernelOptions): Promise<Kernel>
