// SPDX-License-Identifier: Apache-2.0
import { nodeRuntimes } from '#kube/crd/node-runtime.ts'
import type { Kube } from '#kube/port.ts'
import { delegate } from './delegate.ts'

/** What docs/addresses.md adds to NodeRuntime. */
const added = new Set(['network.alibabacloud.com/local-binding', 'ipv4', 'ipv6', 'eniID', 'containerID', 'releases'])

function without(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(without)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).flatMap(([key, v]) => (added.has(key) ? [] : [[key, without(v)]])))
}

/** A daemon that writes to NodeRuntime what Terway's writes and no more: the controller has to bind its addresses. */
export function unannounced(kube: Kube): Kube {
  return delegate(kube, {
    create: (r, object) => kube.create(r, r.plural === nodeRuntimes.plural ? (without(object) as typeof object) : object),
    patch: (r, name, patch, namespace) =>
      kube.patch(r, name, r.plural === nodeRuntimes.plural ? { ...patch, body: without(patch.body) } : patch, namespace),
  })
}
