// SPDX-License-Identifier: Apache-2.0
import { AppError } from '#lib/errors.ts'

/**
 * Command lines in the forms of Go's flag package, which existing manifests use: `-flag value`, `-flag=value`, one dash or
 * two. `defaults` names the flags. Throws `bad-flag` for a flag that does not exist or lacks its value.
 */
export function parseGoFlags<Name extends string>(argv: readonly string[], defaults: Readonly<Record<Name, string>>): Record<Name, string> {
  const known = (text: string): text is Name => Object.hasOwn(defaults, text)
  const values: Record<Name, string> = { ...defaults }
  const rest = [...argv]
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const match = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(word)
    const name = match?.[1] ?? ''
    if (!known(name)) {
      const names = Object.keys(defaults).map(n => `-${n}`)
      throw new AppError('bad-flag', `${word} is not a flag; there are ${names.join(', ')}`)
    }
    const value = match?.[2] ?? rest.shift()
    if (value === undefined) throw new AppError('bad-flag', `-${name} needs a value`)
    values[name] = value
  }
  return values
}

/** Terway's gates switch on what is either always on here or not built: none is accepted in silence. */
export function refuseFeatureGates(gates: string): void {
  if (gates !== '') throw new AppError('bad-flag', `-feature-gates ${gates}: there are no feature gates, remove the flag`)
}

/** `Name=true,Other=false`: those of `known` that are on. Throws `bad-flag` for any other gate, in whose place it would be silent. */
export function parseFeatureGates(gates: string, known: readonly string[]): ReadonlySet<string> {
  const pairs = gates.split(',').flatMap(text => {
    if (text.trim() === '') return []
    const [, name = '', value] = /^\s*(\w+)=(true|false)\s*$/.exec(text) ?? []
    if (known.includes(name)) return [{ name, isOn: value === 'true' }]
    throw new AppError('bad-flag', `-feature-gates ${gates}: supported: ${known.map(k => `${k}=true|false`).join(', ')}`)
  })
  return new Set(pairs.flatMap(({ name, isOn }) => (isOn ? [name] : [])))
}
