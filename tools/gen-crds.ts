// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { crdOf } from '../src/kube/crd/definition.ts'
import { definitions } from '../src/kube/crd/definitions.ts'

/** Where the printed CRDs live, relative to the repository. The controlplane installs the same objects from the code. */
export const crdDirectory = 'deploy/crds'

/** File name to YAML text. */
export function renderCrds(): ReadonlyMap<string, string> {
  return new Map(
    definitions.map(d => {
      const crd = crdOf(d)
      const text = stringify(crd, { lineWidth: 0, aliasDuplicateObjects: false })
      return [`${crd.metadata.name}.yaml`, `# Generated from src/kube/crd by tools/gen-crds.ts; do not edit.\n${text}`]
    }),
  )
}

if (import.meta.main) {
  const dir = join(import.meta.dirname, '..', crdDirectory)
  mkdirSync(dir, { recursive: true })
  for (const [name, text] of renderCrds()) writeFileSync(join(dir, name), text)
}
