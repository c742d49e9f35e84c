// SPDX-License-Identifier: Apache-2.0
import { AppError } from '#lib/errors.ts'

export interface Flags {
  readonly config: string
  readonly logLevel: string
  /** `unix:///path` or host:port of the debug server. */
  readonly readonlyListen: string
  readonly kubeconfig: string
}

/** Terway's flags of terwayd, in Go's forms: -flag value, -flag=value, with one dash or two. */
const defaults = {
  config: '/etc/eni/eni.json',
  'log-level': 'info',
  'readonly-listen': 'unix:///var/run/eni/eni_debug.socket',
  kubeconfig: '',
  'daemon-mode': 'ENIMultiIP',
  'feature-gates': '',
}
type Name = keyof typeof defaults

/** Throws `bad-flag` for a flag that does not exist, lacks its value, or has one that is not supported. */
export function parseFlags(argv: readonly string[]): Flags {
  const values: Record<Name, string> = { ...defaults }
  const rest = [...argv]
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const match = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(word)
    const name = match?.[1] ?? ''
    if (!isName(name))
      throw new AppError(
        'bad-flag',
        `${word} is not a flag of terwayd; there are ${Object.keys(defaults)
          .map(n => `-${n}`)
          .join(', ')}`,
      )
    const value = match?.[2] ?? rest.shift()
    if (value === undefined) throw new AppError('bad-flag', `-${name} needs a value`)
    values[name] = value
  }
  if (values['daemon-mode'] !== 'ENIMultiIP') {
    throw new AppError('bad-flag', `-daemon-mode is ${JSON.stringify(values['daemon-mode'])}; only ENIMultiIP is supported`)
  }
  return {
    config: values.config,
    logLevel: values['log-level'],
    readonlyListen: values['readonly-listen'],
    kubeconfig: values.kubeconfig,
  }
}

function isName(text: string): text is Name {
  return Object.hasOwn(defaults, text)
}
