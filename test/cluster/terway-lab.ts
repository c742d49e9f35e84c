// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach } from 'node:test'
import { disagreements, settled } from '../../lab/agree.ts'
import { Lab } from '../../lab/lab.ts'
import { collectAll } from '../../lab/logs.ts'
import { installTerway } from '../../lab/terway.ts'
import { nodeVSwitches, seed } from '../../lab/vpc.ts'
import type { Stack } from '../../src/net/stack.ts'

/** A lab of two nodes, with Terway as the chart installs it. */
export async function startLab(name: string, stack: Stack): Promise<Lab> {
  const lab = await Lab.up({ name, nodes: 2, stack, seed, instanceType: 'ecs.lab.medium', vSwitchIds: nodeVSwitches })
  await installTerway(lab, { eniConf: { max_pool_size: 5, min_pool_size: 2, ip_pool_sync_period: '5s' } })
  return lab
}

/** After the last test of the file the lab goes; when one failed, its logs and state are kept. */
export function endLabAfterTests(name: string): void {
  let failed = false
  afterEach(t => {
    failed ||= 'passed' in t && !t.passed
  })
  after(async () => {
    if (failed) {
      const directory = join(tmpdir(), name)
      await collectAll(Lab.open(name), directory)
      console.error(`logs and state of the lab: ${directory}`)
    }
    await Lab.down(name)
  })
}

/** Cloud, resources, kernels and API server tell the same story, now or soon. */
export async function agreed(lab: Lab): Promise<void> {
  assert.deepEqual((await settled(lab, 120_000)).flatMap(disagreements), [])
}
