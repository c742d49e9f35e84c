// SPDX-License-Identifier: Apache-2.0
import { type InstanceType, instanceTypes } from './instance-types.ts'
import type { Instance } from './rows.ts'
import type { State } from './state.ts'

export function findType(state: State, id: string): InstanceType | undefined {
  return allTypes(state).find(type => type.id === id)
}

/** The built-in types and those of the seed, which win. */
export function allTypes(state: State): InstanceType[] {
  const own = state.settings.instanceTypes
  return [...own, ...instanceTypes.filter(type => !own.some(other => other.id === type.id))]
}

export function limitsOf(state: State, instance: Instance): InstanceType {
  const type = findType(state, instance.type)
  if (type === undefined) throw new Error(`instance ${instance.id} has the unknown type ${instance.type}`)
  return type
}
