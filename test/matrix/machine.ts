// SPDX-License-Identifier: Apache-2.0
import { readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { bpfObject, objectFile } from '../../tools/bpf/compile.ts'
import { entryPoints, koffiBinary } from '../../tools/bundle.ts'
import { root } from '../../tools/components.ts'
import { which } from '../../tools/setup/find.ts'
import type { VmKernel } from '../../tools/vm/kernels.ts'
import { runVm } from '../../tools/vm/run.ts'
import type { Finding } from './guest.ts'

/** Where the machine has the guest, with what the product has beside its bundles. */
const place = '/terway'
/** What kernels for virtual machines have as modules of all that the datapath needs. */
const modules = ['veth', 'sch_ingress', 'libcrc32c', 'cls_bpf', 'sch_tbf']
/** Seconds; alone it takes 20. */
const patience = 540

export interface Guest {
  readonly finding: Finding
  /** What its kernel said. */
  readonly console: string
  readonly boots: number
}

/** Runs guest.ts on another kernel. Fails with what that kernel said when the guest did not come to its end. */
export async function runGuest(kernel: VmKernel): Promise<Guest> {
  const node = realpathSync(process.execPath)
  const { code, output, console, boots } = await runVm(
    kernel,
    { programs: [node, program('ip'), program('tc')], modules, files: await files(), script: `${node} ${place}/guest.mjs` },
    patience,
  )
  const found = /^FOUND (.*)$/m.exec(output)?.[1]
  if (code !== 0 || found === undefined) throw new Error(`the guest ended with ${code}:\n${output}\n${console}`)
  return { finding: JSON.parse(found), console, boots }
}

function program(name: string): string {
  const path = which(name, `${process.env.PATH}:/usr/sbin:/sbin`)
  if (path === null) throw new Error(`no program ${name}`)
  return path
}

async function files(): Promise<Record<string, Buffer>> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { guest: 'test/matrix/guest.ts', 'terwayd-netlink': entryPoints['terwayd-netlink'] ?? '' },
    outdir: place,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    banner: {
      js: "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);",
    },
  })
  return {
    ...Object.fromEntries(outputFiles.map(file => [file.path, Buffer.from(file.contents)])),
    [join(place, objectFile)]: Buffer.from(JSON.stringify(bpfObject())),
    [join(place, koffiBinary)]: readFileSync(
      join(root, `node_modules/@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`),
    ),
    [join(place, 'app')]: readFileSync(join(root, 'build/app')),
  }
}
