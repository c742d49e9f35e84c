// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realClock } from '#lib/clock.ts'
import { KubeModel } from '../../test/support/kube-model.ts'

import { crdOf, crdVersionAnnotation } from './crd/definition.ts'
import { definitions } from './crd/definitions.ts'
import { crds, installCrds, isNewer } from './install-crds.ts'

test('a CRD is replaced only by a higher version', () => {
  const cases: readonly (readonly [string, string | undefined, boolean])[] = [
    ['v0.11.0', 'v0.10.0', true],
    ['v0.11.0', 'v0.9.9', true],
    ['v0.11.0', 'v0.11.0', false],
    ['v0.11.0', 'v0.11.1', false],
    ['v0.11.0', 'v1.0.0', false],
    ['v0.11.0', undefined, true],
    ['v0.11.0', 'latest', true],
  ]
  for (const [ours, theirs, expected] of cases) assert.equal(isNewer(ours, theirs), expected, `${ours} over ${theirs}`)
})

test('two replicas that upgrade at the same time both succeed', async () => {
  const model = new KubeModel(realClock)
  for (const d of definitions) {
    const { metadata, ...rest } = crdOf(d)
    model.put(crds, {
      ...rest,
      metadata: { ...metadata, annotations: { ...metadata.annotations, [crdVersionAnnotation]: 'v0.0.1' } },
      status: { conditions: [{ type: 'Established', status: 'True' }] },
    })
  }
  const replicas = ['a', 'b'].map(name => installCrds(model.client(name), realClock, definitions))
  const [a, b] = await Promise.all(replicas)
  for (const d of definitions) {
    const { name } = crdOf(d).metadata
    assert.deepEqual([a?.get(name), b?.get(name)].sort(), ['kept', 'updated'], name)
    assert.equal(model.read(crds, name)?.metadata.annotations?.[crdVersionAnnotation], d.crdVersion)
  }
})
