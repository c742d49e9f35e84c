// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { closeSync, globSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ProgramName } from '#kernel/bpf/object.ts'
import { openPin } from '#kernel/ffi-bpf.ts'
import { createLink } from '#kernel/ffi-bpf-link.ts'
import { closeNetns, inNetns, openNetns, openOwnNetns } from '#kernel/netns.ts'
import { findClang } from '../../tools/bpf/clang.ts'
import { bpfObject, compile } from '../../tools/bpf/compile.ts'
import { flatten } from '../../tools/bpf/flat.ts'
import { type BenchNode, indexOf, netnsFile } from './world.ts'

/** BPF_TCX_INGRESS */
const tcxIngress = 46

/** A file that is loaded in the place of the product's programs: two of them do nothing but redirect. */
export function minimalObject(dir: string): string {
  const [source, target] = [join(import.meta.dirname, 'minimal.bpf.c'), join(dir, 'minimal.bpf.o')]
  const file = join(dir, 'minimal.json')
  const product = bpfObject()
  const minimal = flatten([compile(findClang(), source, target)])
  const programs = product.programs.map(program => minimal.programs.find(({ name }) => name === program.name) ?? program)
  writeFileSync(file, JSON.stringify({ ...product, programs, generation: minimal.generation }))
  return file
}

/** A pinned program runs on the device by a tcx link, and no longer by shared filters. The link ends with this process. */
export function attachByTcx(node: BenchNode, pins: string, program: ProgramName, device: string): void {
  execFileSync('tc', ['-n', node.name, 'qdisc', 'del', 'dev', device, 'clsact'])
  const [path = ''] = globSync(join(pins, 'programs', '*', program))
  const fd = openPin(path)
  if (fd === undefined) throw new Error(`${pins} has no ${program}`)
  const [own, netns, number] = [openOwnNetns(), openNetns(netnsFile(node.name)), indexOf(node, device)]
  inNetns(own, netns, node.name, () => {
    createLink(fd, number, tcxIngress)
  })
  for (const netnsFd of [own, netns]) closeNetns(netnsFd)
  closeSync(fd)
}
