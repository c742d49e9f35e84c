// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util'
import { parseCapabilities } from '#config/capabilities.ts'
import { algorithmOf, type ServiceAlgorithm } from '#config/kube-proxy.ts'
import { type Clock, sleepUnlessAborted } from '#lib/clock.ts'
import { messageOf } from '#lib/errors.ts'

/** Whose Services are: ours, or somebody else's, and why; and how backends are chosen where a Service does not say it. */
export interface Decision {
  readonly ours: boolean
  readonly reason: string
  readonly algorithm: ServiceAlgorithm
}

const key = 'kube_proxy_replacement'

export const undecided: Decision = { ours: false, reason: 'terwayd has not decided yet', algorithm: 'random' }

/** What terwayd wrote into its capability file, undefined = there is none. */
export function decisionOf(text: string | undefined): Decision {
  if (text === undefined) return undecided
  try {
    const capabilities = parseCapabilities(text)
    const value = capabilities.get(key)
    const algorithm = algorithmOf(capabilities)
    return value === 'true'
      ? { ours: true, reason: `${key} is true on this node`, algorithm }
      : { ours: false, reason: `${key} is ${value ?? 'not set'} on this node: kube-proxy translates Services`, algorithm }
  } catch (e) {
    return { ...undecided, reason: `the capabilities of this node cannot be read: ${messageOf(e)}` }
  }
}

/** Milliseconds between two looks at the file. */
const interval = 2_000

/** Hears the present decision and each other one; the next look comes when `heard` is done. Runs until the signal says so. */
export async function followDecision(
  read: () => string | undefined,
  clock: Clock,
  signal: AbortSignal,
  heard: (d: Decision) => Promise<void>,
): Promise<void> {
  let last: Decision | undefined
  while (!signal.aborted) {
    const now = decisionOf(read())
    if (!isDeepStrictEqual(now, last)) await heard(now)
    last = now
    await sleepUnlessAborted(clock, interval, signal)
  }
}
