// SPDX-License-Identifier: Apache-2.0
// Preloaded into a process (node --import), this writes the name of each step to standard output before it is done, and ends the process by SIGKILL before its n-th
// step, n being in TERWAY_KILL_STEP. A step is whatever outlives the process: a change by netlink, of a map, a pin, a link, a file or a directory, in whatever thread.
// They are found where code meets the kernel: at each call of native code and of the file system.
import fs from 'node:fs'
import { registerHooks, syncBuiltinESMExports } from 'node:module'
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'

const last = Number(process.env.TERWAY_KILL_STEP)
const key = 'steps'
if (isMainThread) setEnvironmentData(key, new SharedArrayBuffer(4))
const steps = new Int32Array(getEnvironmentData(key) as SharedArrayBuffer)

function step(name: string): void {
  fs.writeSync(1, `${name}\n`)
  if (Atomics.add(steps, 0, 1) + 1 === last) process.kill(process.pid, 'SIGKILL')
}

/** Of bpf(2), those that change what others see. */
const bpfCommands: Readonly<Record<number, string>> = {
  2: 'update',
  3: 'delete',
  6: 'pin',
  26: 'update a batch',
  28: 'create a link',
  29: 'update a link',
  34: 'detach a link',
}
/** NEW, DEL, GET, SET: the lower bits of a type of rtnetlink, which ends where other protocols begin. */
const [get, kinds, firstOfOthers] = [2, 4, 256]

function stepOf(prototype: string, args: readonly unknown[]): string | undefined {
  if (prototype.startsWith('long syscall')) return bpfCommands[Number(args[1])]
  const [, data] = args
  if (!prototype.startsWith('long send') || !Buffer.isBuffer(data)) return undefined
  const type = data.readUInt16LE(4)
  return type < firstOfOthers && type % kinds !== get ? `netlink ${type}` : undefined
}

type Native = (...args: readonly unknown[]) => unknown
const stepping =
  (prototype: string, call: Native): Native =>
  (...args) => {
    const name = stepOf(prototype, args)
    if (name !== undefined) step(name)
    return call(...args)
  }
Object.assign(globalThis, { stepping })

const [native, watched] = ['libc.func(prototype)', 'globalThis.stepping(prototype, libc.func(prototype))']
registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    if (!url.endsWith('/src/kernel/ffi.ts')) return loaded
    const source = Buffer.from((loaded.source ?? '') as string).toString()
    if (!source.includes(native)) throw new Error(`${url} makes its calls in another way`)
    return { ...loaded, source: source.replace(native, watched) }
  },
})

for (const name of ['mkdirSync', 'rmdirSync', 'unlinkSync', 'rmSync', 'renameSync', 'writeFileSync'] as const) {
  const call = fs[name] as Native
  Object.assign(fs, {
    [name]: (...args: readonly unknown[]) => {
      step(name)
      return call(...args)
    },
  })
}
syncBuiltinESMExports()
