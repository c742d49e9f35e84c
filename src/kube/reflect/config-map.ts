// SPDX-License-Identifier: Apache-2.0
import * as Type from 'typebox'
import type { KubeObject } from '../port.ts'
import { resource } from '../resource.ts'

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>
}

export const configMaps = resource<ConfigMap>({
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
  unknown: 'keep',
  body: Type.Object({ data: Type.Optional(Type.Record(Type.String(), Type.String())) }),
})
