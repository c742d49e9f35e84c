// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { importsOf, type Package, violations } from './check-imports.ts'

const pkg: Package = {
  imports: {
    '#lib/*': './src/lib/*',
    '#net/*': './src/net/*',
    '#cloud/*': './src/cloud/*',
    '#datapath/*': './src/datapath/*',
    '#sim/*': './sim/*',
  },
  dependencies: { koffi: '1', '@grpc/grpc-js': '1' },
  devDependencies: { esbuild: '1' },
}
/** A file's only import, judged; the text after the place, or null when it is lawful. */
const judge = (path: string, statement: string) => violations(path, statement, pkg)[0]?.replace(/^[^ ]+ /, '') ?? null
const from = (specifier: string) => `import { x } from '${specifier}'`

test('imports of every form are found, with their line; those in comments are not', () => {
  const source = [
    "import a, { type b } from './a.ts'",
    "import type {\n  c,\n  d,\n} from './b.ts'",
    "import './c.ts'",
    "export { e } from './d.ts'",
    "const f = await import('./e.ts')",
    "// import g from './f.ts'",
    "/* import h from './g.ts' */ const url = 'http://x'",
  ].join('\n')
  const found = importsOf(source).map(({ specifier, typeOnly, line }) => [specifier, typeOnly, line])
  assert.deepEqual(found, [
    ['./a.ts', false, 1],
    ['./b.ts', true, 5],
    ['./c.ts', false, 6],
    ['./d.ts', false, 7],
    ['./e.ts', false, 8],
  ])
})

test('a folder imports itself and lower levels', () => {
  assert.equal(judge('src/net/cidr.ts', from('./ip.ts')), null)
  assert.equal(judge('src/net/cidr.ts', from('#lib/brand.ts')), null)
  assert.equal(judge('src/daemon/add/x.ts', from('../../lib/brand.ts')), null)
  assert.match(judge('src/lib/brand.ts', from('#net/ip.ts')) ?? '', /lib stands below src\/net/)
})

test('peers do not import each other, except the types of an attachment in ipam', () => {
  assert.match(judge('src/kube/watch.ts', from('#cloud/port.ts')) ?? '', /peers/)
  assert.match(judge('src/kube/watch.ts', "import type { x } from '../cloud/port.ts'") ?? '', /peers/)
  assert.equal(judge('src/ipam/ledger.ts', "import type { Attachment } from '#datapath/attachment.ts'"), null)
  assert.match(judge('src/ipam/ledger.ts', from('#datapath/attachment.ts')) ?? '', /peers/)
  assert.match(judge('src/ipam/ledger.ts', "import type { x } from '#datapath/port.ts'") ?? '', /peers/)
})

test('a folder without a level is refused', () => {
  assert.match(judge('src/new/x.ts', from('#lib/brand.ts')) ?? '', /src\/new has no level/)
})

test('sim imports nothing from src, lab may import both, the product neither', () => {
  assert.match(judge('sim/http.ts', from('#lib/brand.ts')) ?? '', /sim\/ imports nothing from src\//)
  assert.match(judge('sim/http.test.ts', from('../src/lib/brand.ts')) ?? '', /sim\/ imports nothing from src\//)
  assert.equal(judge('lab/up.ts', from('#lib/brand.ts')), null)
  assert.equal(judge('lab/up.ts', from('#sim/http.ts')), null)
  assert.match(judge('src/cloud/ecs.ts', from('#sim/http.ts')) ?? '', /src\/ imports nothing from sim\//)
})

test('unit tests of the product may use test helpers, the product may not', () => {
  assert.equal(judge('src/kube/elect.test.ts', from('../../test/support/clock.ts')), null)
  assert.match(judge('src/kube/elect.ts', from('../../test/support/clock.ts')) ?? '', /nothing from test\//)
})

test('native code is loaded in one place', () => {
  assert.equal(judge('src/kernel/ffi.ts', "import koffi from 'koffi'"), null)
  assert.match(judge('src/kernel/netns.ts', "import koffi from 'koffi'") ?? '', /koffi/)
  const specifier = "'koffi'"
  assert.match(judge('lab/x.ts', `const k = await import(${specifier})`) ?? '', /koffi/)
})

test('packages are declared, and the product needs none that is for development only', () => {
  assert.equal(judge('src/rpc/serve.ts', from('@grpc/grpc-js/build/x')), null)
  assert.match(judge('src/rpc/serve.ts', from('esbuild')) ?? '', /development dependency/)
  assert.equal(judge('src/rpc/serve.test.ts', from('esbuild')), null)
  assert.match(judge('tools/x.ts', from('left-pad')) ?? '', /not in package.json/)
})

test('a file is named with its extension', () => {
  assert.match(judge('src/net/cidr.ts', from('./ip')) ?? '', /extension/)
})
