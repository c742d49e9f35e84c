// SPDX-License-Identifier: Apache-2.0
import { chmod, copyFile, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { CliDeps } from '#cli/deps.ts'

/**
 * Copies an executable to the host so that whoever runs it meanwhile has the old or the new one whole: written beside the
 * target, synced, renamed. An identical target is left alone, so a rollout does not touch the disk of every node.
 */
export async function install(deps: Pick<CliDeps, 'out'>, source: string, target: string): Promise<void> {
  const [wanted, present] = await Promise.all([readFile(source), readFile(target).catch(() => undefined)])
  if (present?.equals(wanted)) return deps.out(`${target} is up to date`)
  await mkdir(dirname(target), { recursive: true })
  const fresh = `${target}.new`
  try {
    await copyFile(source, fresh)
    await chmod(fresh, 0o755)
    const file = await open(fresh, 'r')
    await file.sync().finally(() => file.close())
    await rename(fresh, target)
  } finally {
    await rm(fresh, { force: true })
  }
  deps.out(`${target} installed`)
}
