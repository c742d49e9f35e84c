// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { Clock } from '#lib/clock.ts'
import { AppError, isAppError } from '#lib/errors.ts'
import { type CrdManifest, crdOf, crdVersionAnnotation, type Definition } from './crd/definition.ts'
import type { Kube, KubeObject } from './port.ts'
import { resource } from './resource.ts'

interface Crd extends KubeObject {
  readonly spec: unknown
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[] }
}

const condition = Type.Object({ type: Type.String(), status: Type.String(), message: Type.Optional(Type.String()) })

export const crds = resource<Crd>({
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
  unknown: 'keep',
  body: Type.Object({
    spec: Type.Object({}),
    status: Type.Optional(Type.Object({ conditions: Type.Optional(Type.Array(condition)) })),
  }),
})

export type Installed = 'created' | 'updated' | 'kept'

/** Milliseconds until a new CRD must be served. */
const establishDeadline = 30_000

/**
 * Creates what is missing and replaces what is older, by the version annotation; a newer CRD stays (another version of the controlplane put it
 * there). Returns when all are Established. Throws `crd-not-established`, or what the API server says.
 */
export async function installCrds(kube: Kube, clock: Clock, definitions: readonly Definition[]): Promise<ReadonlyMap<string, Installed>> {
  const done = new Map<string, Installed>()
  for (const definition of definitions) {
    const wanted = crdOf(definition)
    done.set(wanted.metadata.name, await install(kube, wanted, definition.crdVersion))
  }
  for (const name of done.keys()) await established(kube, clock, name)
  return done
}

/** How often an update is tried that somebody else's write came in between. */
const attempts = 5

async function install(kube: Kube, wanted: CrdManifest, version: string): Promise<Installed> {
  for (let left = attempts - 1; ; left--) {
    try {
      return await installOnce(kube, wanted, version)
    } catch (e) {
      // A `test` that does not hold is `invalid`: mostly another replica, which upgrades at the same time and installs the same.
      if (left === 0 || !isAppError(e) || (e.code !== 'invalid' && e.code !== 'conflict')) throw e
    }
  }
}

async function installOnce(kube: Kube, wanted: CrdManifest, version: string): Promise<Installed> {
  const present = await kube.get(crds, wanted.metadata.name)
  if (present === undefined) {
    try {
      await kube.create<Crd>(crds, { ...wanted })
      return 'created'
    } catch (e) {
      // Another replica was faster: it installs the same.
      if (isAppError(e) && e.code === 'already-exists') return 'kept'
      throw e
    }
  }
  if (!isNewer(version, present.metadata.annotations?.[crdVersionAnnotation])) return 'kept'
  const annotations = { ...present.metadata.annotations, ...wanted.metadata.annotations }
  await kube.patch(crds, wanted.metadata.name, { type: 'json', body: replacement(present, wanted, annotations) })
  return 'updated'
}

/** The whole spec is replaced, so that a field which left the schema leaves; `test` makes the update optimistic. */
function replacement(present: Crd, wanted: CrdManifest, annotations: Readonly<Record<string, string>>): unknown {
  return [
    { op: 'test', path: '/metadata/resourceVersion', value: present.metadata.resourceVersion },
    { op: 'add', path: '/metadata/annotations', value: annotations },
    { op: 'replace', path: '/spec', value: wanted.spec },
  ]
}

async function established(kube: Kube, clock: Clock, name: string): Promise<void> {
  const deadline = clock.now() + establishDeadline
  for (;;) {
    const conditions = (await kube.get(crds, name))?.status?.conditions ?? []
    if (conditions.some(c => c.type === 'Established' && c.status === 'True')) return
    if (clock.now() > deadline) {
      const why = conditions.filter(c => c.status === 'False').map(c => `${c.type}: ${c.message ?? ''}`)
      throw new AppError(
        'crd-not-established',
        `CRD ${name} is not Established after ${establishDeadline / 1000} s${why.length > 0 ? ` (${why.join('; ')})` : ''}`,
      )
    }
    await clock.sleep(200)
  }
}

/** Semantic version order of `v1.2.3`; what is no version is older than every version. */
export function isNewer(ours: string, theirs: string | undefined): boolean {
  const [a, b] = [partsOf(ours), partsOf(theirs ?? '')]
  if (a === undefined || b === undefined) return a !== undefined
  for (const i of [0, 1, 2]) if (a[i] !== b[i]) return (a[i] ?? 0) > (b[i] ?? 0)
  return false
}

function partsOf(version: string): readonly number[] | undefined {
  const m = /^v(\d+)\.(\d+)\.(\d+)$/.exec(version)
  return m === null ? undefined : m.slice(1).map(Number)
}
