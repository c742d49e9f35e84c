// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hierarchiesOf } from './cgroup.ts'

test('hierarchies of a machine with both versions', () => {
  const mounts = `tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,release_agent=/lib/x,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
/dev/vda / ext4 rw 0 0
`
  assert.deepEqual(hierarchiesOf(mounts), [
    { mount: '/sys/fs/cgroup/cpu,cpuacct', version: 1, options: 'cpu,cpuacct' },
    { mount: '/sys/fs/cgroup/systemd', version: 1, options: 'none,name=systemd' },
    { mount: '/sys/fs/cgroup/unified', version: 2, options: '' },
  ])
})

test('a machine with version 2 only', () => {
  assert.deepEqual(hierarchiesOf('cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0\n'), [
    { mount: '/sys/fs/cgroup', version: 2, options: '' },
  ])
})
