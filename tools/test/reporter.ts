// SPDX-License-Identifier: Apache-2.0
import type { TestEvent } from 'node:test/reporters'
import { inspect } from 'node:util'
import type { Result } from './result.ts'

/**
 * node:test's events as one JSON line per finished test, and per diagnostic of a test, for run-file.ts. Given to Node as
 * --test-reporter.
 */
// biome-ignore lint/style/noDefaultExport: node:test takes a reporter from the default export only
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const names: string[] = []
  let ended = ''
  for await (const event of events) {
    // Those of a test follow its end and have its place; Node's own counts have the file's.
    if (event.type === 'test:diagnostic' && placeOf(event.data) === ended)
      yield `${JSON.stringify({ outcome: 'note', name: names.join(' > '), place: ended, text: event.data.message } satisfies Result)}\n`
    if (event.type === 'test:start') names.splice(event.data.nesting, names.length, event.data.name)
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue
    names.splice(event.data.nesting, names.length, event.data.name)
    ended = placeOf(event.data)
    const result = resultOf(event, names.join(' > '))
    if (result !== null) yield `${JSON.stringify(result)}\n`
  }
}

/** A suite is no test, and a test whose only fault is a failed subtest is reported by that one. */
function resultOf(event: Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>, name: string): Result | null {
  const { skip, todo, details } = event.data
  const place = placeOf(event.data)
  if (skip !== undefined) return { outcome: 'skipped', name, place, text: textOf(skip) }
  if (todo !== undefined) return { outcome: 'skipped', name, place, text: `to do: ${textOf(todo)}` }
  if (event.type === 'test:pass') return details.type === 'suite' ? null : { outcome: 'passed', name, place, text: '' }
  const error: unknown = 'error' in details ? details.error : undefined
  if (error instanceof Error && 'failureType' in error && error.failureType === 'subtestsFailed') return null
  const cause = error instanceof Error ? (error.cause ?? error) : error
  return { outcome: 'failed', name, place, text: withoutInternals(describe(cause)) }
}

const placeOf = ({ file = '', line = 0 }: { file?: string | undefined; line?: number | undefined }) => `${file}:${line}`

const textOf = (value: string | boolean) => (typeof value === 'string' ? value : 'no reason given')

/** The stack, which starts with the message and for an assertion with the difference, and that of every cause. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return inspect(error)
  const below = error instanceof AggregateError ? error.errors : error.cause === undefined ? [] : [error.cause]
  return [error.stack ?? error.message, ...below.map(cause => `cause: ${describe(cause)}`)].join('\n')
}

const withoutInternals = (text: string) =>
  text
    .split('\n')
    .filter(line => !/^\s+at .*\bnode:/.test(line))
    .join('\n')
