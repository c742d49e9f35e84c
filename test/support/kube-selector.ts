// SPDX-License-Identifier: Apache-2.0
import type { KubeObject, Selector } from '#kube/port.ts'

/** Whether the API server would list the object: namespace, label selector (=, !=, in, notin, exists), field selector (=, !=). */
export function selects(s: Selector, object: KubeObject): boolean {
  if (s.namespace !== undefined && object.metadata.namespace !== s.namespace) return false
  return matchesLabels(s.labelSelector ?? '', object.metadata.labels ?? {}) && matchesFields(s.fieldSelector ?? '', object)
}

function matchesLabels(selector: string, labels: Readonly<Record<string, string>>): boolean {
  // A comma inside parentheses belongs to a set.
  const terms = selector.split(/,(?![^(]*\))/).filter(t => t.trim() !== '')
  return terms.every(term => matchesTerm(term.trim(), labels))
}

function matchesTerm(term: string, labels: Readonly<Record<string, string>>): boolean {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(term)
  if (set !== null) {
    const [, key = '', op, list = ''] = set
    const values = list.split(',').map(v => v.trim())
    const value = labels[key]
    return op === 'in' ? value !== undefined && values.includes(value) : value === undefined || !values.includes(value)
  }
  const pair = /^(\S+?)\s*(==|!=|=)\s*(\S*)$/.exec(term)
  if (pair !== null) {
    const [, key = '', op, value] = pair
    return (labels[key] === value) === (op !== '!=')
  }
  return term.startsWith('!') ? labels[term.slice(1)] === undefined : labels[term] !== undefined
}

function matchesFields(selector: string, object: KubeObject): boolean {
  return selector
    .split(',')
    .filter(t => t !== '')
    .every(term => {
      const [, path = '', op, value] = /^([^=!]+)(==|!=|=)(.*)$/.exec(term) ?? []
      return (fieldOf(object, path) === value) === (op !== '!=')
    })
}

/** A missing field is the empty string, as for the API server. */
function fieldOf(object: KubeObject, path: string): string {
  let at: unknown = object
  for (const key of path.split('.')) at = typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined
  return at === undefined ? '' : String(at)
}
