// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseFeatureGates, parseGoFlags, refuseFeatureGates } from '#lib/flags.ts'

const defaults = { config: '/etc/a', 'log-level': 'info' }

test("Go's forms, and the defaults", () => {
  const cases: readonly (readonly [readonly string[], string, string])[] = [
    [[], '/etc/a', 'info'],
    [['-config', '/b', '--log-level=debug'], '/b', 'debug'],
    [['--config=/b=c', '-log-level', '-x'], '/b=c', '-x'],
    [['-config='], '', 'info'],
  ]
  for (const [argv, config, level] of cases) assert.deepEqual(parseGoFlags(argv, defaults), { config, 'log-level': level })
})

test('what is no flag, or lacks its value, is named', () => {
  assert.throws(() => parseGoFlags(['-nope'], defaults), /-nope is not a flag; there are -config, -log-level/)
  assert.throws(() => parseGoFlags(['config'], defaults), /config is not a flag/)
  assert.throws(() => parseGoFlags(['-toString', 'x'], defaults), /is not a flag/)
  assert.throws(() => parseGoFlags(['-config'], defaults), /-config needs a value/)
})

test('feature gates are refused by name', () => {
  assert.doesNotThrow(() => refuseFeatureGates(''))
  assert.throws(() => refuseFeatureGates('EFLO=true'), /EFLO=true/)
})

test('gates that are known are read, others are refused by name', () => {
  const read = (gates: string) => [...parseFeatureGates(gates, ['A', 'B'])]
  assert.deepEqual([read(''), read('A=true'), read('A=false,B=true'), read(' A=true ,')], [[], ['A'], ['B'], ['A']])
  for (const gates of ['C=true', 'A', 'A=yes', 'A=true,C=false'])
    assert.throws(() => read(gates), /supported: A=true\|false, B=true\|false/)
})
