// SPDX-License-Identifier: Apache-2.0
import type { MapName } from '#kernel/bpf/maps.ts'

/**
 * The programs by the hook they run at: `pod_in` and `pod_out` at a pod's host end, `eni_in` where an ENI receives, `node_in` and `node_out` at
 * the device with the node's addresses, the others at sockets of the node.
 */
export type PacketProgram = 'pod_in' | 'pod_out' | 'eni_in' | 'node_in' | 'node_out'
export type SocketProgram = `${'connect' | 'sendmsg' | 'recvmsg' | 'getpeername'}${4 | 6}`
export type ProgramName = PacketProgram | SocketProgram

/** One program as `tools/bpf` took it from the compiler's output: nothing is left to parse where it is loaded. */
export interface BpfProgram {
  readonly name: ProgramName
  /** Base64 of the instructions, 8 bytes each. */
  readonly instructions: string
  /** Instructions that take a map: index of each. A `rodata` one takes the address of a constant, `offset` bytes into it. */
  readonly relocations: readonly { readonly at: number; readonly map: MapName | 'rodata'; readonly offset: number }[]
}

/** What dist/terway-bpf.json holds. */
export interface BpfObject {
  readonly programs: readonly BpfProgram[]
  /** The constants: their initial bytes (base64), and where each is, so that a loader sets them. */
  readonly rodata: {
    readonly bytes: string
    readonly variables: Readonly<Record<string, { readonly offset: number; readonly size: number }>>
  }
  /** Twelve hex digits of the SHA-256 of all of the above and of the maps' layouts: the name of this generation. */
  readonly generation: string
}
