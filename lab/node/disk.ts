// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bootScript, DISK, type Machine, READY } from './boot.ts'
import { RESOLV_CONF } from './config.ts'

/** Makes the node's disk if it is new, and writes what each boot needs. */
export function prepareDisk(machine: Machine): void {
  for (const dir of ['upper', 'work', 'root', 'etc', ...DISK.map(([disk]) => join('disk', disk))]) {
    mkdirSync(join(machine.dir, dir), { recursive: true })
  }
  rmSync(join(machine.dir, READY), { force: true })
  const etc = (file: string) => join(machine.dir, 'etc', file)
  if (!existsSync(etc('machine-id'))) writeFileSync(etc('machine-id'), `${randomBytes(16).toString('hex')}\n`)
  writeFileSync(etc('hostname'), `${machine.name}\n`)
  writeFileSync(etc('hosts'), `127.0.0.1 localhost\n::1 localhost\n127.0.1.1 ${machine.name}\n`)
  writeFileSync(etc('resolv.conf'), RESOLV_CONF)
  writeFileSync(join(machine.dir, 'boot.sh'), bootScript(machine))
}
