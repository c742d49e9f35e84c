// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import type { Hierarchy } from '../cgroup.ts'

/** What a node is made of, before anything runs on it. */
export interface Machine {
  readonly name: string
  /** The node's disk: survives a reboot. */
  readonly dir: string
  readonly netns: string
  readonly hierarchies: readonly Hierarchy[]
  /** Directories that the node's programs come from. Read-only there, and visible also from below /tmp or from a file system of their own. */
  readonly programs: readonly string[]
}

/** Directories that live on the node's disk directly: the root is an overlay, and an overlay cannot be the upper layer of containerd's. */
export const DISK: readonly (readonly [disk: string, path: string])[] = [
  ['containerd', 'var/lib/containerd'],
  ['kubelet', 'var/lib/kubelet'],
  ['cni', 'var/lib/cni'],
  ['etc-cni', 'etc/cni'],
  ['opt-cni', 'opt/cni'],
  ['log', 'var/log'],
]

/** Kernel settings of the whole machine that a kubelet writes at its start: on a node they are files of its own. */
const FENCED_SYSCTLS: readonly (readonly [string, string])[] = [
  ['vm/overcommit_memory', '1'],
  ['vm/panic_on_oom', '0'],
  ['kernel/panic', '10'],
  ['kernel/panic_on_oops', '1'],
  ['kernel/keys/root_maxkeys', '1000000'],
  ['kernel/keys/root_maxbytes', '25000000'],
]

/** Marker on the node's disk: written when the node is up, removed before each boot. */
export const READY = 'booted'

/**
 * Enters fresh namespaces for everything but users. The shell that runs this is already in the node's cgroups, so the
 * cgroup namespace starts there; when the outer process dies, the kernel kills the node's first process and with it
 * all others: that is how the power goes off.
 */
export function bootArgv(machine: Machine): readonly string[] {
  const enter = ['nsenter', `--net=/run/netns/${machine.netns}`, '--']
  const unshare = ['unshare', '--mount', '--uts', '--ipc', '--cgroup', '--pid', '--fork', '--kill-child', '--propagation', 'private', '--']
  return [...enter, ...unshare, 'sh', join(machine.dir, 'boot.sh')]
}

/**
 * The first process of a node: mounts its own root and stays, collecting orphans. A fresh sysfs shows the node's own
 * interfaces; /run is empty after each boot; boot_id changes with each boot.
 */
export function bootScript(machine: Machine): string {
  const root = join(machine.dir, 'root')
  return `set -e
hostname ${machine.name}
exec 3>${join(machine.dir, READY)}
mount -t overlay overlay -o lowerdir=/,upperdir=${machine.dir}/upper,workdir=${machine.dir}/work ${root}
cd ${root}
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount --make-rprivate dev
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t bpf bpf sys/fs/bpf
${machine.programs.map(dir => `mkdir -p .${dir}\nmount --bind ${dir} .${dir}\nmount -o remount,bind,ro .${dir}`).join('\n')}
${cgroupMounts(machine.hierarchies)}
${DISK.map(([disk, path]) => `mkdir -p ${path}\nmount --bind ${machine.dir}/disk/${disk} ${path}`).join('\n')}
mkdir run/netns run/lab
${FENCED_SYSCTLS.map(([key, value], i) => `echo ${value} > run/lab/sysctl-${i}\nmount --bind run/lab/sysctl-${i} proc/sys/${key}`).join('\n')}
cat /proc/sys/kernel/random/uuid > run/lab/boot-id
mount --bind run/lab/boot-id proc/sys/kernel/random/boot_id
cp ${machine.dir}/etc/* etc/
mkdir -p .machine
pivot_root . .machine
cd /
umount -l /.machine
mount --make-rshared /
echo ready >&3
exec 3>&-
while :; do sleep 3600 & wait $!; done
`
}

/** In the node's cgroup namespace a new mount of a hierarchy shows the node's cgroup as its root. */
function cgroupMounts(hierarchies: readonly Hierarchy[]): string {
  const only = hierarchies.length === 1 && hierarchies[0]?.version === 2
  if (only) return 'mount -t cgroup2 cgroup2 sys/fs/cgroup'
  const lines = hierarchies.map(h => {
    const path = h.mount.slice(1)
    return h.version === 2
      ? `mkdir -p ${path}\nmount -t cgroup2 cgroup2 ${path}`
      : `mkdir -p ${path}\nmount -t cgroup -o ${h.options} cgroup ${path}`
  })
  return ['mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup', ...lines].join('\n')
}

/** The command line that runs a program on a node, given the process id of the node's first process. */
export function onNode(init: number, argv: readonly string[]): readonly string[] {
  return ['nsenter', `--target=${init}`, '--mount', '--uts', '--ipc', '--net', '--cgroup', '--pid', '--', ...argv]
}

/** PATH on a node: the lab's binaries, then the system's. */
export function nodePath(bin: string): string {
  return `${bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`
}
