// SPDX-License-Identifier: Apache-2.0
import { AppError } from '#lib/errors.ts'

export interface Flags {
  readonly config: string
  /** Empty: no secret file. */
  readonly credential: string
}

const defaults = { config: '/etc/config/ctrl-config.yaml', credential: '', 'feature-gates': '', v: '' }
type Name = keyof typeof defaults

/** Terway's flags, in Go's forms: -flag value, -flag=value, one dash or two. Throws `bad-flag`. */
export function parseFlags(argv: readonly string[]): Flags {
  const values: Record<Name, string> = { ...defaults }
  const rest = [...argv]
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const match = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(word)
    const name = match?.[1] ?? ''
    if (!isName(name))
      throw new AppError(
        'bad-flag',
        `${word} is not a flag; there are ${Object.keys(defaults)
          .map(n => `-${n}`)
          .join(', ')}`,
      )
    const value = match?.[2] ?? rest.shift()
    if (value === undefined) throw new AppError('bad-flag', `-${name} needs a value`)
    values[name] = value
  }
  if (values['feature-gates'] !== '')
    throw new AppError('bad-flag', `-feature-gates ${values['feature-gates']}: there are no feature gates`)
  return { config: values.config, credential: values.credential }
}

function isName(text: string): text is Name {
  return Object.hasOwn(defaults, text)
}
