// SPDX-License-Identifier: Apache-2.0
import type { Change } from '#state/entry.ts'

/** Four bytes in hex. */
const number = 8

/**
 * What must not be put because something that it points at could not be: a slot without its backend, a set whose count would name slots that are not
 * there, a Service of such a set. Changes are asked for in order (`inOrder`), so that what is pointed at comes first.
 */
export class Blocked {
  readonly #numbers = new Set<string>()

  /** The change was refused, or waits for one that was. */
  add(change: Change): void {
    this.#numbers.add(partOf(change))
  }

  has(change: Change): boolean {
    return this.#numbers.size > 0 && change.value !== undefined && needsOf(change, change.value).some(n => this.#numbers.has(n))
  }
}

/** Whose part this entry is: those that point at it name it so. */
function partOf({ map, key }: Change): string {
  switch (map) {
    case 'backends':
      return `backend ${key}`
    case 'frontends':
      return `frontend ${key}`
    case 'backend_slots':
    case 'backend_sets':
      return `set ${key.slice(0, number)}`
    case 'source_ranges':
      return `frontend ${key.slice(number, 2 * number)}`
    case 'services':
      return `service ${key}`
  }
}

function needsOf({ map, key }: Change, value: string): readonly string[] {
  switch (map) {
    case 'backend_slots':
      return [`backend ${value}`]
    case 'backend_sets':
      return [`set ${key}`]
    case 'services':
      return [`set ${value.slice(0, number)}`, `frontend ${value.slice(number, 2 * number)}`]
    default:
      return []
  }
}
