// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './components.ts'
import { discover, type Layer, needsRoot } from './test/layers.ts'
import { count, countsLine, type LayerResult, type Result } from './test/result.ts'
import { runFile, runToEnd, stopAll } from './test/run-file.ts'
import { judgeSkips, parseSkips, type Skip } from './test/skips.ts'

/**
 * `run-tests.ts [layer...]`: runs the layers in order and ends with one line, "N passed, N failed, N skipped". Exit code 1 when a test failed,
 * 2 when the arguments make no sense.
 */
const isRoot = process.getuid?.() === 0
const commandSeconds = 900
const heartbeatMs = 15_000
/** Of one failure: the rest is rarely read, and hides the next one. */
const mostLines = 60
const label = (name: string) => name.padEnd(12)
const seconds = (since: number) => `${((performance.now() - since) / 1000).toFixed(1)} s`

async function runCommand({ name, argv }: Extract<Layer, { kind: 'command' }>): Promise<Result[]> {
  const { code, timedOut, output } = await runToEnd(argv, commandSeconds)
  const text = timedOut ? `not at its end after ${commandSeconds} s` : output
  return [{ outcome: code === 0 ? 'passed' : 'failed', name, place: argv.join(' '), text: code === 0 ? '' : text }]
}

async function runFiles(layer: Extract<Layer, { kind: 'files' }>): Promise<Result[]> {
  const leftOut = isRoot ? [] : layer.files.filter(path => layer.needsRoot || needsRoot(path))
  if (leftOut.length > 0) console.log(`${label(layer.name)}${leftOut.length} files left out, they need root`)
  const queue = layer.files.filter(path => !leftOut.includes(path))
  const total = queue.length
  const results: Result[] = leftOut.map(path => ({ outcome: 'skipped', name: path, place: `${path}:1`, text: 'needs root' }))
  const current = new Set<string>()
  const started = performance.now()
  const beat = setInterval(() => {
    console.log(
      `${label(layer.name)}${total - queue.length - current.size} of ${total} files, ${seconds(started)}, at work: ${[...current].join(' ')}`,
    )
  }, heartbeatMs)
  const worker = async () => {
    for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
      current.add(path)
      results.push(...(await runFile(path, layer.fileSeconds)))
      current.delete(path)
    }
  }
  await Promise.all(Array.from({ length: layer.parallel }, worker))
  clearInterval(beat)
  return results
}

async function runLayer(layer: Layer, skips: readonly Skip[]): Promise<LayerResult> {
  const started = performance.now()
  if (layer.kind === 'files' && layer.files.length === 0) {
    console.log(`${label(layer.name)}no tests yet`)
    return { layer: layer.name, results: [], ms: 0 }
  }
  const raw = layer.kind === 'command' ? await runCommand(layer) : await runFiles(layer)
  // Without root nothing is wrong with a layer that is left out; it is counted as skipped all the same.
  const results = judgeSkips(layer.name, raw, isRoot ? skips : [...skips, ...raw.map(({ name }) => ({ layer: layer.name, name }))])
  console.log(`${label(layer.name)}${countsLine(count(results)).padEnd(40)}${seconds(started)}`)
  return { layer: layer.name, results, ms: performance.now() - started }
}

/** The start of a long text, which holds the message, and where it breaks off. */
function excerpt(text: string): string {
  const lines = text.split('\n')
  if (lines.length <= mostLines) return text
  return [...lines.slice(0, mostLines), `… ${lines.length - mostLines} more lines: run the file alone`].join('\n')
}

function print(layers: readonly LayerResult[]): void {
  for (const { layer, results } of layers) {
    for (const { outcome, name, text } of results) {
      if (outcome === 'note') console.log(`note: ${layer}: ${name}: ${text}`)
      if (outcome === 'skipped') console.log(`skipped: ${layer}: ${name}: ${text}`)
    }
  }
  for (const { layer, results } of layers) {
    for (const { outcome, name, place, text } of results) {
      if (outcome === 'failed')
        console.log(`\nFAILED ${layer}: ${name}\n  ${place.replace(`${root}/`, '')}\n${excerpt(text).replace(/^/gm, '    ')}`)
    }
  }
}

async function main(wanted: readonly string[]): Promise<number> {
  const all = discover()
  const unknown = wanted.filter(name => !all.some(layer => layer.name === name))
  if (unknown.length > 0) {
    console.error(`no layer ${unknown.join(', ')}: there are ${all.map(layer => layer.name).join(' ')}`)
    return 2
  }
  const list = join(root, 'test', 'skips.txt')
  const skips = existsSync(list) ? parseSkips(readFileSync(list, 'utf8')) : []
  const done: LayerResult[] = []
  for (const layer of all) if (wanted.length === 0 || wanted.includes(layer.name)) done.push(await runLayer(layer, skips))
  print(done)
  const counts = count(done.flatMap(({ results }) => results))
  console.log(`\n${countsLine(counts)}`)
  return counts.failed === 0 ? 0 : 1
}

if (import.meta.main) {
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      stopAll()
      process.exit(130)
    })
  }
  process.exitCode = await main(process.argv.slice(2))
}
