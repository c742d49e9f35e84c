// SPDX-License-Identifier: Apache-2.0
import type { TSchema } from 'typebox'
import type { KubeObject, Resource } from '../port.ts'
import { mapValueOf, type Shape, shapeOf } from '../shape.ts'

export const crdVersionAnnotation = 'crd.network.alibabacloud.com/version'

export interface Column {
  readonly name: string
  readonly jsonPath: string
}

/** One of Terway's kinds as it is installed. `crdVersion`: an installed CRD is replaced only by a higher one. */
export interface Definition {
  readonly resource: Resource<KubeObject>
  readonly crdVersion: string
  readonly spec: TSchema
  readonly status: TSchema
  readonly columns?: readonly Column[]
}

/** A CustomResourceDefinition, as far as we write it. */
export interface CrdManifest extends KubeObject {
  readonly spec: unknown
}

type Json = { readonly [key: string]: unknown }

/** The apiextensions.k8s.io/v1 object; keys come in a fixed order, so that the printed YAML is stable. */
export function crdOf(d: Definition): CrdManifest {
  const { group, version, plural, kind, namespaced } = d.resource
  const openAPIV3Schema = {
    type: 'object',
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec: structural(shapeOf(d.spec)),
      status: structural(shapeOf(d.status)),
    },
  }
  const columns = d.columns?.map(({ name, jsonPath }) => ({ name, jsonPath, type: 'string' }))
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, annotations: { [crdVersionAnnotation]: d.crdVersion } },
    spec: {
      group,
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase() },
      scope: namespaced ? 'Namespaced' : 'Cluster',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          ...(columns && { additionalPrinterColumns: columns }),
          schema: { openAPIV3Schema },
          subresources: { status: {} },
        },
      ],
    },
  }
}

/** A structural schema says maps by additionalProperties and wants a type beside every enum. */
function structural(s: Shape): Json {
  const { description, default: byDefault, minimum, minLength, format } = s
  const map = mapValueOf(s)
  const properties = Object.entries(s.properties ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  const required = [...(s.required ?? [])].sort()
  const [mapType, listType] = [s['x-kubernetes-map-type'], s['x-kubernetes-list-type']]
  return {
    ...(description !== undefined && { description }),
    type: s.type ?? 'string',
    ...(byDefault !== undefined && { default: byDefault }),
    ...(s.enum && { enum: [...s.enum] }),
    ...(format !== undefined && { format }),
    ...(minimum !== undefined && { minimum }),
    ...(minLength !== undefined && { minLength }),
    ...(map && { additionalProperties: structural(map) }),
    ...(s.items && { items: structural(s.items) }),
    ...(properties.length > 0 && { properties: Object.fromEntries(properties.map(([k, v]) => [k, structural(v)])) }),
    ...(required.length > 0 && { required }),
    ...(mapType !== undefined && { 'x-kubernetes-map-type': mapType }),
    ...(listType !== undefined && { 'x-kubernetes-list-type': listType }),
  }
}
