// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

test('a secret never reaches the log, at the top or one level down', () => {
  const script = `import { makeLogger } from '#lib/log.ts'
    makeLogger('t').info({ accessKeySecret: 'hush1', credential: { securityToken: 'hush2' }, pod: 'a/b' }, 'said')`
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  const line = JSON.parse(out) as Record<string, unknown>
  assert.equal(line.pod, 'a/b')
  assert.equal(line.level, 'info')
  assert.ok(!out.includes('hush'), out)
})
