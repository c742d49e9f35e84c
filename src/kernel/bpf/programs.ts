// SPDX-License-Identifier: Apache-2.0
import type { PacketProgram, ProgramName, SocketProgram } from '#kernel/bpf/object.ts'

/** What a program is to the kernel: BPF_PROG_TYPE_*, and the hook that its verifier must know of (0 = any of the type). */
export interface ProgramKind {
  readonly type: number
  readonly attachType: number
}

/** BPF_PROG_TYPE_SCHED_CLS: a classifier, with a packet. */
export const classifier: ProgramKind = { type: 3, attachType: 0 }
/** BPF_PROG_TYPE_CGROUP_SOCK_ADDR: with the address of a system call on a socket. */
const socketAddress = (attachType: number): ProgramKind => ({ type: 18, attachType })

/** BPF_CGROUP_INET4_CONNECT and so on. */
const socketPrograms: Readonly<Record<SocketProgram, ProgramKind>> = {
  connect4: socketAddress(10),
  connect6: socketAddress(11),
  sendmsg4: socketAddress(14),
  sendmsg6: socketAddress(15),
  recvmsg4: socketAddress(19),
  recvmsg6: socketAddress(20),
  getpeername4: socketAddress(29),
  getpeername6: socketAddress(30),
}
const packetPrograms: Readonly<Record<PacketProgram, ProgramKind>> = {
  pod_in: classifier,
  pod_out: classifier,
  eni_in: classifier,
  node_in: classifier,
  node_out: classifier,
}

export const programKinds: Readonly<Record<ProgramName, ProgramKind>> = { ...packetPrograms, ...socketPrograms }
export const packetProgramNames = Object.keys(packetPrograms) as PacketProgram[]
export const socketProgramNames = Object.keys(socketPrograms) as SocketProgram[]
/** In the order in which an object has them. */
export const programNames: readonly ProgramName[] = [...packetProgramNames, ...socketProgramNames]
