// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { problemsOf } from './check-files.ts'

const head = '// SPDX-License-Identifier: Apache-2.0\n'

test('a file without its licence, too long, or with a path of the machine is named', () => {
  assert.deepEqual(problemsOf('src/a.ts', `${head}x\n`, '/home/me/x'), [])
  assert.match(problemsOf('src/a.ts', 'x\n', '/home/me/x')[0] ?? '', /^src\/a\.ts:1: say "SPDX/)
  assert.match(problemsOf('src/a.ts', head + 'x\n'.repeat(500), '/home/me/x')[0] ?? '', /501 lines/)
  assert.match(problemsOf('docs/a.md', 'see /home/me/x/docs\n', '/home/me/x')[0] ?? '', /path of this machine/)
})

test('a script has its interpreter first; generated files may be long; a README is short; what the kernel loads has its own licence', () => {
  assert.deepEqual(problemsOf('tools/a.sh', `#!/bin/bash\n# ${head.slice(3)}`, '/home/me/x'), [])
  assert.deepEqual(problemsOf('src/a.gen.ts', head + 'x\n'.repeat(900), '/home/me/x'), [])
  assert.deepEqual(problemsOf('bench/a.bpf.c', '/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */\n', '/home/me/x'), [])
  assert.match(problemsOf('src/net/README.md', 'x\n'.repeat(16), '/home/me/x')[0] ?? '', /at most 15/)
})
