// SPDX-License-Identifier: Apache-2.0
// Loads the programs with other sizes, and ends by SIGKILL before the second step of a kind, or the only one; or stops before the swap, and ends after it. Arguments: the kind, the host's namespace, the
// directory of the pins, the object, sizes.
import fs, { openSync, readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { loadPinned } from '#kernel/bpf/pins.ts'
import { setNetns } from '#kernel/ffi.ts'
import { NetlinkConn } from '#kernel/netlink/conn.ts'
import { runnerOf, runningFilters } from '#kernel/worker/programs.ts'

const [kind = '', netns = '', pins = '', object = '', sizes = ''] = process.argv.slice(2)
const met = new Map<string, number>()

function next(step: string, last = 2): void {
  met.set(step, (met.get(step) ?? 0) + 1)
  if (step === kind && met.get(step) === last) process.kill(process.pid, 'SIGKILL')
}

const { renameSync, rmSync } = fs
fs.renameSync = (from, to) => {
  next('rename')
  renameSync(from, to)
}
fs.rmSync = (path, options) => {
  next('remove')
  rmSync(path, options)
}
syncBuiltinESMExports()

setNetns(openSync(netns, 'r'))
const conn = new NetlinkConn()
const programs = JSON.parse(readFileSync(object, 'utf8'))
const runner = runnerOf(conn, programs.generation, runningFilters(conn))
loadPinned(programs, pins, JSON.parse(sizes), new Set([programs.generation]), {
  ...runner,
  swap: made => {
    next('before the swap', 1)
    // Until somebody has begun something that no copy has.
    if (kind === 'after a stop') process.kill(process.pid, 'SIGSTOP')
    runner.swap(made)
    next('after a stop', 1)
    next('after the swap', 1)
  },
})
