// SPDX-License-Identifier: Apache-2.0
import type { Static, TSchema } from 'typebox'

/**
 * The part of JSON Schema that our schemas use: what a CRD's structural schema can say as well. TypeBox builds it and
 * infers the type; `parse` checks values against it; `crd/definition` prints it.
 */
export interface Shape {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean'
  readonly description?: string
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: readonly string[]
  /** One entry: the value of a map. */
  readonly patternProperties?: Readonly<Record<string, Shape>>
  readonly items?: Shape
  readonly enum?: readonly string[]
  readonly default?: unknown
  readonly minimum?: number
  readonly minLength?: number
  readonly format?: string
  readonly 'x-kubernetes-map-type'?: string
  readonly 'x-kubernetes-list-type'?: string
}

/** TypeBox types the schema by what it infers, not by its keywords; at run time it is the plain JSON Schema. */
export function shapeOf(schema: TSchema): Shape {
  return schema as Shape
}

/** The value of a map, undefined when the shape is no map. */
export function mapValueOf(shape: Shape): Shape | undefined {
  return shape.patternProperties === undefined ? undefined : Object.values(shape.patternProperties)[0]
}

export type Immutable<T> = T extends readonly (infer E)[]
  ? readonly Immutable<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Immutable<T[K]> }
    : T

/** The value that a schema describes; objects from a watch are shared, so nobody may change them. */
export type ValueOf<S extends TSchema> = Immutable<Static<S>>
