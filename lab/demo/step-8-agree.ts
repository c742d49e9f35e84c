// SPDX-License-Identifier: Apache-2.0
import { disagreements, settled } from '../agree.ts'
import type { Demo } from './demo.ts'
import { table } from './report.ts'
import { restarts, terwayErrors, warningEvents } from './trouble.ts'

/** What is left: three witnesses that must agree, and nothing that went wrong unseen. */
export async function agree({ lab, report }: Demo): Promise<void> {
  await report.check('cloud, Kubernetes resources and kernel agree on every node', async () => {
    const all = await settled(lab)
    report.say(
      '',
      ...table(
        ['node', 'cloud: ENIs', 'addresses', 'resources: ENIs', 'addresses', 'kernel: ENIs', 'pod routes', 'differences'],
        all.map(w => [
          w.node,
          String(w.cloud.size),
          String([...w.cloud.values()].flat().length),
          String(w.resources.size),
          String([...w.resources.values()].flat().length),
          String(w.kernelMacs.length - 1),
          String(w.routes.length),
          String(disagreements(w).length),
        ]),
      ),
      '',
    )
    return nothing(all.flatMap(disagreements))
  })
  await report.check('no container restarted', async () => nothing(await restarts(lab)))
  await report.check('no Warning event that the scenario did not announce', async () => nothing(await warningEvents(lab)))
  await report.check('no error line in the logs of Terway', async () => nothing(await terwayErrors(lab)))
}

function nothing(found: readonly string[]): undefined {
  if (found.length > 0) throw new Error(`${found.length}: ${found.slice(0, 5).join(' | ')}`)
  return undefined
}
