// SPDX-License-Identifier: Apache-2.0
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { root } from './components.ts'

/**
 * The import law. Folders of src/ stand on levels and import downwards only; peers on one level never import each other, so that each can be
 * read, tested and replaced alone. The simulated cloud shares no code with its client: one mistake cannot hide in both.
 */
const levels: readonly (readonly string[])[] = [
  ['lib'],
  ['net'],
  ['kernel', 'cloud', 'kube'],
  ['state', 'config'],
  ['ipam', 'datapath', 'rpc', 'compile', 'sync'],
  ['daemon', 'controller', 'cli', 'policyd'],
]
const levelOf = new Map(levels.flatMap((folders, level) => folders.map(folder => [folder, level] as const)))

/** What the top folders may import of each other; npm packages and their own files are open to all. */
const reach: Readonly<Record<string, readonly string[]>> = {
  src: [],
  sim: [],
  tools: ['src', 'deploy'],
  deploy: ['src', 'tools'],
  lab: ['src', 'sim', 'tools', 'deploy'],
  test: ['src', 'sim', 'lab', 'tools', 'deploy'],
  bench: ['src', 'sim', 'lab', 'test', 'tools', 'deploy'],
}

/** Unit tests of these may also use the test helpers and check what the generators write. */
const withUnitTests: readonly string[] = ['src', 'deploy', 'tools']
const reachOfUnitTests: readonly string[] = ['test', 'tools']

/** The ledger records attachments as data: their types, and nothing else, may be named by a peer. */
const sharedTypes = { from: 'ipam', file: 'src/datapath/attachment.ts' }

export interface Import {
  specifier: string
  typeOnly: boolean
  line: number
}

const comments = /\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/[^\n]*/g
const statement = /^[ \t]*(?:import|export)\s+(?<type>type\s+)?(?:[\w*{}\s,$]+?\s+from\s+)?'(?<specifier>[^'\n]+)'/gm
const dynamic = /\bimport\(\s*'(?<specifier>[^'\n]+)'/g

/** Every import of a file in the project's format (single quotes, one statement per line or spread over several). */
export function importsOf(source: string): Import[] {
  const code = source.replace(comments, text => text.replace(/[^\n]/g, ' '))
  const lineAt = (index: number) => code.slice(0, index).split('\n').length
  return [...code.matchAll(statement), ...code.matchAll(dynamic)].map(match => ({
    specifier: match.groups?.specifier ?? '',
    typeOnly: match.groups?.type !== undefined,
    line: lineAt(match.index + match[0].length),
  }))
}

/** What an import leads to: a path of the repository, a package, or one of Node's own modules. */
type Target = { kind: 'file'; path: string } | { kind: 'package'; name: string } | { kind: 'node' }

function targetOf(from: string, specifier: string, aliases: Readonly<Record<string, string>>): Target {
  if (specifier.startsWith('node:')) return { kind: 'node' }
  if (specifier.startsWith('.')) return { kind: 'file', path: normalize(join(dirname(from), specifier)) }
  if (specifier.startsWith('#')) {
    const alias = Object.entries(aliases).find(([pattern]) => specifier.startsWith(pattern.slice(0, -1)))
    return { kind: 'file', path: alias ? normalize(alias[1].replace('*', specifier.slice(alias[0].length - 1))) : specifier }
  }
  const parts = specifier.split('/')
  return { kind: 'package', name: parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/') }
}

export interface Package {
  imports: Readonly<Record<string, string>>
  dependencies: Readonly<Record<string, string>>
  devDependencies: Readonly<Record<string, string>>
}

/** How one file breaks the law, one line each: "src/net/ip.ts:3: …". */
export function violations(path: string, source: string, pkg: Package): string[] {
  return importsOf(source).flatMap(item => {
    const target = targetOf(path, item.specifier, pkg.imports)
    const problem =
      target.kind === 'node'
        ? null
        : target.kind === 'package'
          ? packageProblem(path, target.name, pkg)
          : fileProblem(path, target.path, item)
    return problem === null ? [] : [`${path}:${item.line}: ${problem}`]
  })
}

function packageProblem(path: string, name: string, pkg: Package): string | null {
  if (name === 'koffi' && !/^src\/kernel\/ffi[^/]*\.ts$/.test(path)) return 'only src/kernel/ffi*.ts loads native code (koffi)'
  if (name in pkg.dependencies) return null
  if (!(name in pkg.devDependencies)) return `${name} is not in package.json`
  const product = path.startsWith('src/') && !path.endsWith('.test.ts')
  return product ? `${name} is a development dependency and not there in the product` : null
}

function fileProblem(path: string, target: string, item: Import): string | null {
  if (!target.endsWith('.ts') && !target.endsWith('.json')) return `${item.specifier}: name the file with its extension`
  const [fromTop = '', fromFolder = ''] = path.split('/')
  const [toTop = '', toFolder = ''] = target.split('/')
  const reachable = [...(reach[fromTop] ?? []), ...(withUnitTests.includes(fromTop) && path.endsWith('.test.ts') ? reachOfUnitTests : [])]
  if (fromTop !== toTop) return reachable.includes(toTop) ? null : `${fromTop}/ imports nothing from ${toTop}/ (${item.specifier})`
  if (fromTop !== 'src' || fromFolder === toFolder) return null
  if (item.typeOnly && fromFolder === sharedTypes.from && target === sharedTypes.file) return null
  const [from, to] = [levelOf.get(fromFolder), levelOf.get(toFolder)]
  if (from === undefined || to === undefined)
    return `src/${from === undefined ? fromFolder : toFolder} has no level: give it one in tools/check-imports.ts`
  if (from === to) return `src/${fromFolder} and src/${toFolder} are peers and never import each other`
  return from > to ? null : `src/${fromFolder} stands below src/${toFolder}: imports point downwards only`
}

/** The law for the whole repository, and that every imported file exists is the compiler's part. */
export function checkRepository(): string[] {
  const pkg: Package = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const files = Object.keys(reach).flatMap(top => (existsSync(join(root, top)) ? globSync(`${top}/**/*.ts`, { cwd: root }) : []))
  return files.sort().flatMap(path => violations(path, readFileSync(join(root, path), 'utf8'), pkg))
}

if (import.meta.main) {
  const found = checkRepository()
  for (const line of found) console.error(line)
  process.exit(found.length === 0 ? 0 : 1)
}
