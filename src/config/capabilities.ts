// SPDX-License-Identifier: Apache-2.0
import { AppError } from '#lib/errors.ts'

/** Where Terway keeps what a node has decided; a reboot empties the directory. */
export const capabilitiesPath = '/var/run/eni/node_capabilities'

/** Of the file's default section. */
export type Capabilities = ReadonlyMap<string, string>

type Line = { readonly key: string; readonly value: string } | 'other'

/** Reads the default section of an INI file. Throws `bad-capabilities` naming the line that is none. */
export function parseCapabilities(text: string): Capabilities {
  const found = new Map<string, string>()
  for (const { line } of linesOf(text)) if (line !== 'other') found.set(line.key, line.value)
  return found
}

/** The same text with these values in its default section; every other line stays as it is, in its place. Throws `bad-capabilities`. */
export function withCapabilities(text: string, values: Readonly<Record<string, string>>): string {
  const left = new Map(Object.entries(values))
  const kept: string[] = []
  for (const { raw, line, inDefault } of linesOf(text)) {
    const value = line === 'other' ? undefined : values[line.key]
    // Other sections come after the default one, to which what is new belongs.
    if (!inDefault) kept.push(...take(left))
    if (line === 'other' || value === undefined) kept.push(raw)
    else if (left.delete(line.key)) kept.push(`${line.key} = ${value}`)
  }
  return [...kept, ...take(left)].map(line => `${line}\n`).join('')
}

function take(left: Map<string, string>): readonly string[] {
  const lines = [...left].map(([key, value]) => `${key} = ${value}`)
  left.clear()
  return lines
}

function* linesOf(text: string): Generator<{ readonly raw: string; readonly line: Line; readonly inDefault: boolean }> {
  let inDefault = true
  const lines = text.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  for (const [i, raw] of lines.entries()) {
    const trimmed = raw.trim()
    const section = /^\[(.+)\]$/.exec(trimmed)?.[1]
    if (section !== undefined) inDefault = section === 'DEFAULT'
    if (section !== undefined || trimmed === '' || /^[#;]/.test(trimmed)) {
      yield { raw, line: 'other', inDefault }
      continue
    }
    const [, key, value] = /^([^=:]+?)\s*[=:]\s*(.*)$/.exec(trimmed) ?? []
    if (key === undefined || value === undefined)
      throw new AppError('bad-capabilities', `line ${i + 1} is ${JSON.stringify(trimmed)}, which is not key = value`)
    yield { raw, line: inDefault ? { key, value: unquoted(value) } : 'other', inDefault }
  }
}

function unquoted(value: string): string {
  return /^(["'`])(.*)\1$/.exec(value)?.[2] ?? value
}
