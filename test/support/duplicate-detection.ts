// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { until } from './until.ts'

/** A probe each second: longer than any test. */
const probes = 600
const slowAll = `for file in /proc/sys/net/ipv6/conf/*/dad_transmits; do echo ${probes} > "$file"; done`

/** From now on an address of these namespaces that begins to wait for duplicate detection waits as long as the test: what works does not wait for it. */
export function slowDetection(...namespaces: readonly string[]): void {
  for (const ns of namespaces) execFileSync('ip', ['netns', 'exec', ns, 'sh', '-c', slowAll])
}

/**
 * No address in the namespace waits for duplicate detection, of which `slowDetection` was told before. Ours never do. Link-local ones are the kernel's: on a
 * device that detects no duplicates they are usable when its work queue gets to them, which takes a moment on a busy machine.
 */
export async function noneWaits(ns: string): Promise<void> {
  const tentative = (...of: readonly string[]) =>
    execFileSync('ip', ['-n', ns, '-o', '-6', 'addr', 'show', ...of, 'tentative'], { encoding: 'utf8' })
  assert.equal(tentative('scope', 'global'), '')
  await until(() => tentative() === '', `no address of ${ns} waits for duplicate detection`)
}
