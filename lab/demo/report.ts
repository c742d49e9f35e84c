// SPDX-License-Identifier: Apache-2.0

interface CheckResult {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}
interface Step {
  readonly title: string
  readonly started: number
  ended: number
  readonly checks: CheckResult[]
}

/** What the demo shows: steps, a line per check while it runs, and a table at the end. */
export class Report {
  readonly #steps: Step[] = []
  readonly #began = performance.now()
  readonly #print: (line: string) => void

  constructor(print: (line: string) => void = line => console.log(line)) {
    this.#print = print
  }

  async step(title: string, fn: () => Promise<void>): Promise<void> {
    const step: Step = { title, started: performance.now(), ended: 0, checks: [] }
    this.#steps.push(step)
    this.#print(`\n${bold(`${this.#steps.length}. ${title}`)}`)
    try {
      await fn()
    } catch (e) {
      this.#result({ name: 'the step runs to its end', ok: false, detail: e instanceof Error ? e.message : String(e) })
      throw e
    } finally {
      step.ended = performance.now()
      this.#print(dim(`   ${seconds(step.ended - step.started)}`))
    }
  }

  say(...lines: readonly string[]): void {
    for (const line of lines) this.#print(line === '' ? '' : `   ${line}`)
  }

  /** Passes when `fn` does not throw; what it returns is shown beside the name. A failure is counted, and the demo goes on. */
  async check(name: string, fn: () => string | undefined | Promise<string | undefined>): Promise<boolean> {
    try {
      this.#result({ name, ok: true, detail: (await fn()) ?? '' })
      return true
    } catch (e) {
      this.#result({ name, ok: false, detail: e instanceof Error ? e.message : String(e) })
      return false
    }
  }

  get failures(): number {
    return this.#steps.flatMap(s => s.checks).filter(c => !c.ok).length
  }

  summary(): void {
    const rows = this.#steps.map((s, i) => {
      const failed = s.checks.filter(c => !c.ok).length
      const checks = s.checks.length === 0 ? '' : `${s.checks.length - failed}/${s.checks.length}`
      return [`${i + 1}. ${s.title}`, seconds((s.ended || performance.now()) - s.started), checks, failed === 0 ? '' : 'FAILED']
    })
    this.#print('')
    this.say(...table(['step', 'time', 'checks', ''], rows))
    for (const c of this.#steps.flatMap(s => s.checks).filter(c => !c.ok)) this.say(red(`✘ ${c.name}: ${c.detail}`))
    const total = seconds(performance.now() - this.#began)
    this.say('', this.failures === 0 ? green(`all checks passed in ${total}`) : red(`${this.failures} checks failed in ${total}`))
  }

  #result(result: CheckResult): void {
    this.#steps.at(-1)?.checks.push(result)
    const detail = result.detail === '' ? '' : dim(` — ${result.detail}`)
    this.say(`${result.ok ? green('✔') : red('✘')} ${result.name}${detail}`)
  }
}

/** Columns as wide as their widest cell; no borders. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map(row => row[i]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd()
  return [line(head), widths.map(w => '─'.repeat(w)).join('──'), ...rows.map(line)]
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

const colour = (code: number) => (text: string) => (process.stdout.isTTY ? `\x1b[${code}m${text}\x1b[0m` : text)
const bold = colour(1)
const dim = colour(2)
const red = colour(31)
const green = colour(32)
