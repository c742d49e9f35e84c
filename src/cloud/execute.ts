// SPDX-License-Identifier: Apache-2.0
import { coalesceDescribe } from '#cloud/coalesce.ts'
import { CloudError, isCloudError } from '#cloud/errors.ts'
import type { Cloud } from '#cloud/port.ts'
import type { Priority, Throttle } from '#cloud/throttle.ts'
import { type Backoff, delays } from '#lib/backoff.ts'
import type { Clock } from '#lib/clock.ts'
import { messageOf } from '#lib/errors.ts'

/** What happened to each call, for metrics and logs. Durations in milliseconds. */
export interface CloudObserver {
  called(api: string, ms: number, error: CloudError | undefined): void
  waited(api: string, ms: number, priority: Priority, who: string): void
}

export interface Execution {
  readonly clock: Clock
  readonly throttle: Throttle
  readonly observer: CloudObserver
}

/** A Cloud whose calls wait for their API's budget as `who`, with that priority. */
export type CloudFor = (priority: Priority, who: string) => Cloud

/**
 * Few quick tries only: a call that keeps failing is made again by the caller's next round, with the same client token, so
 * that no node's round hangs for minutes on one call.
 */
const retries: Backoff = { initialDelay: 0, duration: 1000, factor: 2, jitter: 0.3, steps: 3 }

/**
 * Calls that may do harm when they take effect late, after another try of them has succeeded: an address that was given back
 * may have a new holder by then. The rest may come late: a client token gives the same objects again, and an ENI that is on its
 * way is looked at until it has arrived.
 */
const harmfulLate: ReadonlySet<string> = new Set(['UnassignPrivateIpAddresses', 'UnassignIpv6Addresses'])

/**
 * Puts budget, retries and coalescing in front of a Cloud. `retry` and `throttled` errors are tried three times; any other
 * class is thrown at once, and so is one that leaves doubt about a call that must not come late: the caller has to know of it.
 * Client tokens come from the caller and stay the same over the tries.
 */
export function governed(cloud: Cloud, execution: Execution): CloudFor {
  const { clock, throttle, observer } = execution
  const run = async <T>(api: string, priority: Priority, who: string, fn: () => Promise<T>): Promise<T> => {
    let doubt = false
    let last: unknown
    for (const ms of delays(retries, () => clock.random())) {
      if (ms > 0) await clock.sleep(ms)
      const asked = clock.now()
      await throttle.acquire(api, priority, who)
      const start = clock.now()
      observer.waited(api, start - asked, priority, who)
      try {
        const result = await fn()
        observer.called(api, clock.now() - start, undefined)
        return result
      } catch (e) {
        const error = e instanceof CloudError ? e : new CloudError(api, 'BadReply', messageOf(e), { cause: e })
        observer.called(api, clock.now() - start, error)
        last = doubt ? doubtful(error) : error
        doubt ||= error.mayHaveHappened
        if (isCloudError(error, 'throttled')) throttle.throttled(api)
        else if (!isCloudError(error, 'retry')) break
        if (error.mayHaveHappened && harmfulLate.has(api)) break
      }
    }
    throw last
  }
  return governor(cloud, clock, run)
}

/** The same verdict, but a try before it may have taken effect. */
function doubtful(e: CloudError): CloudError {
  return new CloudError(e.action, e.code, 'after a try without answer', {
    afterDoubt: true,
    class: e.class,
    cause: e,
    ...(e.requestId === '' ? {} : { requestId: e.requestId }),
  })
}

type Run = <T>(api: string, priority: Priority, who: string, fn: () => Promise<T>) => Promise<T>

function governor(cloud: Cloud, clock: Clock, run: Run): CloudFor {
  const shared = (priority: Priority) =>
    coalesceDescribe(ids => run('DescribeNetworkInterfaces', priority, 'attach poll', () => cloud.describeEnis({ ids: ids() })), clock)
  const describeIds = { pod: shared('pod'), warm: shared('warm'), reclaim: shared('reclaim') }
  return (priority, who) => {
    const call = <T>(api: string, fn: () => Promise<T>) => run(api, priority, who, fn)
    return {
      createEni: r => call('CreateNetworkInterface', () => cloud.createEni(r)),
      attachEni: r => call('AttachNetworkInterface', () => cloud.attachEni(r)),
      detachEni: r => call('DetachNetworkInterface', () => cloud.detachEni(r)),
      deleteEni: id => call('DeleteNetworkInterface', () => cloud.deleteEni(id)),
      describeEnis: r =>
        r.ids !== undefined && Object.keys(r).length === 1
          ? describeIds[priority](r.ids)
          : call('DescribeNetworkInterfaces', () => cloud.describeEnis(r)),
      assignIpv4: r => call('AssignPrivateIpAddresses', () => cloud.assignIpv4(r)),
      assignIpv6: r => call('AssignIpv6Addresses', () => cloud.assignIpv6(r)),
      unassignIpv4: r => call('UnassignPrivateIpAddresses', () => cloud.unassignIpv4(r)),
      unassignIpv6: r => call('UnassignIpv6Addresses', () => cloud.unassignIpv6(r)),
      describeVSwitch: id => call('DescribeVSwitches', () => cloud.describeVSwitch(id)),
      describeInstanceTypes: ids => call('DescribeInstanceTypes', () => cloud.describeInstanceTypes(ids)),
      instanceExists: id => call('DescribeInstances', () => cloud.instanceExists(id)),
    }
  }
}
