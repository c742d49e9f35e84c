// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { withPort } from '#net/ip.ts'
import type { Kube, Watch } from './port.ts'
import { type EndpointSlice, endpointSlices } from './reflect/endpoint-slice.ts'

/** Origins of the API servers behind the Service `kubernetes`, sorted. */
export function originsOf(slices: readonly EndpointSlice[]): readonly string[] {
  const origins = slices.flatMap(s =>
    s.endpoints
      .filter(e => e.conditions?.ready !== false)
      .flatMap(e => e.addresses)
      .flatMap(a => s.ports.map(p => `https://${withPort(a, p.port ?? 443)}`)),
  )
  return [...new Set(origins)].sort()
}

/**
 * Keeps the direct addresses of the API servers in a file (config.ts reads it), so that the next start needs no Service translation. An empty set is
 * never written: the last good one stays. `failed` hears why it could not be read or written; nothing else depends on it.
 */
export function rememberEndpoints(kube: Pick<Kube, 'watch'>, file: string, failed: (reason: unknown) => void): Watch {
  const slices = new Map<string, EndpointSlice>()
  let written = ''
  const save = () => {
    const text = JSON.stringify(originsOf([...slices.values()]))
    if (text === '[]' || text === written) return
    try {
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(`${file}.new`, text, { mode: 0o600 })
      renameSync(`${file}.new`, file)
      written = text
    } catch (e) {
      failed(e)
    }
  }
  const put = (s: EndpointSlice) => slices.set(s.metadata.name, s)
  return kube.watch(
    endpointSlices,
    { namespace: 'default', labelSelector: 'kubernetes.io/service-name=kubernetes' },
    {
      replaced: items => {
        slices.clear()
        items.forEach(put)
        save()
      },
      applied: s => {
        put(s)
        save()
      },
      deleted: s => {
        slices.delete(s.metadata.name)
        save()
      },
      interrupted: failed,
    },
  )
}
