// SPDX-License-Identifier: Apache-2.0
import { Attr, infoOf } from '#kernel/ffi-bpf-call.ts'

/** Links: programs that are attached to a cgroup as long as the link's descriptor or pin exists. */

/** Beside what others have attached there. The caller closes it. */
export function createLink(program: number, cgroup: number, attachType: number): number {
  return new Attr(16).u32(0, program).u32(4, cgroup).u32(8, attachType).call('createLink')
}

/** Another program in place of the one that runs, in one step. */
export function updateLink(link: number, program: number): void {
  new Attr(16).u32(0, link).u32(4, program).call('updateLink')
}

/** At once, whoever holds the link. */
export function detachLink(link: number): void {
  new Attr(4).u32(0, link).call('detachLink')
}

/** The numbers of the program and of the cgroup, which is the inode of its directory; 0 = it was removed. */
export function infoOfLink(link: number): { readonly program: number; readonly cgroup: bigint } {
  const info = infoOf(link, Buffer.alloc(32)) // struct bpf_link_info
  return { program: info.readUInt32LE(8), cgroup: info.readBigUInt64LE(16) }
}
