// SPDX-License-Identifier: Apache-2.0

/** A process that the supervisor runs. */
export interface ProcessSpec {
  /** `<machine>/<program>`, for example `node1/kubelet`. */
  readonly name: string
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Standard output and error are appended here. */
  readonly log: string
  /** Part of the lab's cgroup it belongs to. */
  readonly cgroup: string
  /** Started again when it ends, as systemd does for a service. */
  readonly restart: boolean
  /** The program proper is the child of what is started (`nsenter --pid`, `unshare --fork`). */
  readonly wrapped: boolean
}

export interface ProcessStatus {
  readonly name: string
  readonly running: boolean
  /** Of the program itself, in the machine's own numbering; absent while it is not running. */
  readonly pid?: number
  readonly started?: number
  readonly restarts: number
}
