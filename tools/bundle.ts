// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { bpfObject, objectFile } from './bpf/compile.ts'
import { root } from './components.ts'

/** What becomes one file each in dist/: a process, or a thread that a process starts. */
export const entryPoints: Readonly<Record<string, string>> = {
  terwayd: 'src/daemon/main.ts',
  'terwayd-netlink': 'src/kernel/worker-main.ts',
  'terway-policy': 'src/policyd/main.ts',
  'terway-controlplane': 'src/controller/main.ts',
  'terway-cli': 'src/cli/main.ts',
}

/** Where the image has Node: the first line of each bundle, so that they run by name without a shell. */
export const nodeInImage = '/usr/local/bin/node'

/** Where koffi, bundled, looks for its native part: as a package beside the bundle, which may be this one file. */
export const koffiBinary = `node_modules/@koromix/koffi-linux-${process.arch}/index.node`

/** CommonJS packages ask for Node's own modules through `require`, which an ES module has not. */
const requireForPackages =
  "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);"

/**
 * Modules of which a bundle takes only what we use, for the resident memory of each daemon: the names that we import, and where each comes
 * from. A bundle that imports another name fails. prom-client's index loads collectors of the process. An import statement reads every name of
 * `node:http`, and one of them, WebSocket, loads a whole second HTTP client, 15 MB; `require` reads only what is asked for.
 */
const narrowed: Readonly<Record<string, string>> = {
  'node:http': "export const { Agent, createServer, request } = require('node:http')",
  'prom-client': [
    "export { default as Counter } from './lib/counter.js'",
    "export { default as Gauge } from './lib/gauge.js'",
    "export { default as Histogram } from './lib/histogram.js'",
    "export { default as Registry } from './lib/registry.js'",
  ].join('\n'),
}

/** Resolves an import of ours of a narrowed module to one of only those names. */
const narrow: Plugin = {
  name: 'narrow',
  setup(b) {
    b.onResolve({ filter: /^(node:http|prom-client)$/, namespace: 'file' }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'narrowed' } : undefined,
    )
    b.onLoad({ filter: /.*/, namespace: 'narrowed' }, ({ path }) => ({
      contents: narrowed[path] ?? '',
      resolveDir: join(root, 'node_modules', path),
    }))
  },
}

/**
 * Bundles every entry point into dist/ with all it imports, and puts koffi's native part and the eBPF programs beside them. A file is replaced only
 * when its content changes, and at once. Returns the paths under dist/.
 */
export async function bundle(): Promise<string[]> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { ...entryPoints },
    outdir: 'dist',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    // A stack trace of a release must read like the source; whitespace is what costs bytes.
    minifyWhitespace: true,
    legalComments: 'eof',
    banner: { js: `#!${nodeInImage}\n${requireForPackages}` },
    logLevel: 'warning',
    plugins: [narrow],
  })
  for (const { path, text } of outputFiles) replace(path, Buffer.from(ascii(text)))
  const native = join(root, 'dist', koffiBinary)
  replace(native, readFileSync(join(root, `node_modules/@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`)))
  replace(join(root, 'dist', objectFile), Buffer.from(`${JSON.stringify(bpfObject())}\n`))
  return [...Object.keys(entryPoints).map(name => `${name}.mjs`), koffiBinary, objectFile]
}

/**
 * One character beyond ASCII makes Node keep the whole text in two bytes a character. esbuild escapes them in strings; those that are left stand in
 * regular expressions, where the escape means the same, and in the licences' names.
 */
function ascii(text: string): string {
  return text.replace(/[\u0080-\uffff]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function replace(path: string, contents: Uint8Array): void {
  if (existsSync(path) && readFileSync(path).equals(contents)) return
  mkdirSync(dirname(path), { recursive: true })
  const staging = `${path}.${process.pid}`
  writeFileSync(staging, contents, { mode: 0o755 })
  renameSync(staging, path)
}

if (import.meta.main) {
  const made = await bundle()
  console.log(`build: dist/{${made.join(',')}}`)
}
