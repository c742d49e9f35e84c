// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { cacheDir } from '../../tools/bin.ts'
import { root } from '../../tools/components.ts'

const inside = 'TERWAY_BENCH_DIR'

const places = '/var/tmp/terway-bench-'

/**
 * A machine of its own for one benchmark: own network, processes, mounts and host name; / is an overlay whose changes vanish,
 * /run and /tmp are empty. $1 is a directory on a real disk that keeps its path. The ledger lies on that disk, as on a node.
 */
const boot = `set -e
dir=$1; shift
hostname bench
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
cd "$dir/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p run/netns var/lib/cni host-etc-net.d etc/eni .machine
mount --bind "$dir/cni" var/lib/cni
for keep in "$dir" "$1" "$2"; do mkdir -p ".$keep"; mount --bind "$keep" ".$keep"; done
shift 2
pivot_root . .machine
cd /
umount -l /.machine
ip link set lo up
exec "$@"
`

/**
 * Runs the calling program again on a machine of its own (needs root) and `main` there; the directory it gets is on a real disk.
 * Ends the process with the same exit code. Whatever happens, nothing is left: processes and mounts end with the namespaces.
 */
export async function isolated(main: (dir: string) => Promise<void>): Promise<void> {
  const dir = process.env[inside]
  if (dir !== undefined) {
    await main(dir)
    // Children of this first process end with it.
    process.exit(0)
  }
  if (process.getuid?.() !== 0) throw new Error('this benchmark makes namespaces: it needs root')
  removeStale()
  const fresh = mkdtempSync(`${places}${process.pid}-`)
  for (const sub of ['root', 'upper', 'work', 'cni']) mkdirSync(join(fresh, sub))
  const unshare = ['unshare', '--net', '--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child', '--propagation', 'private', '--']
  const program = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const argv = [...unshare, 'sh', '-c', boot, 'sh', fresh, root, cacheDir(), ...program]
  const env = { ...process.env, [inside]: fresh, TERWAY_BENCH_LOAD: process.env.TERWAY_BENCH_LOAD ?? loadavg()[0]?.toFixed(2) }
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...argv], { env, stdio: ['ignore', 'inherit', 'inherit'] })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => child.kill('SIGKILL'))
  const code = await ended(child)
  rmSync(fresh, { recursive: true, force: true })
  process.exit(code)
}

/** What benchmarks left that were killed: their namespaces went by themselves, their directories did not. */
function removeStale(): void {
  for (const path of globSync(`${places}*`)) {
    const pid = path.slice(places.length).split('-')[0] ?? ''
    if (!existsSync(`/proc/${pid}`)) rmSync(path, { recursive: true, force: true })
  }
}

function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', code => resolve(code ?? 1))
  })
}
