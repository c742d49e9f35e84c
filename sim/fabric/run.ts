// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end with `input` on its standard input; never throws for an exit code. */
export function run(argv: readonly string[], input = ''): Promise<Ran> {
  const [file = '', ...args] = argv
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (b: Buffer) => out.push(b))
    child.stderr.on('data', (b: Buffer) => err.push(b))
    child.stdin.on('error', () => {})
    child.on('error', reject)
    child.on('close', code => resolve({ code: code ?? 1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }))
    child.stdin.end(input)
  })
}

/** Like `run`, but an exit code other than 0 throws with the program's own words. */
export async function must(argv: readonly string[], input = ''): Promise<string> {
  const ran = await run(argv, input)
  if (ran.code !== 0) throw new Error(`${argv.join(' ')}: exit ${ran.code}: ${ran.stderr.trim() || ran.stdout.trim()}`)
  return ran.stdout
}

/** `ip -force -batch` in a named namespace; the answer is the list of complaints, empty when every line worked. */
export async function ipBatch(netns: string, lines: readonly string[]): Promise<readonly string[]> {
  if (lines.length === 0) return []
  const ran = await run(['ip', '-n', netns, '-force', '-batch', '-'], `${lines.join('\n')}\n`)
  return ran.code === 0 ? [] : explain(ran.stderr, lines)
}

/** iproute2 names the failed line by number (`Command failed -:3`) after the reason. */
function explain(stderr: string, lines: readonly string[]): readonly string[] {
  const complaints: string[] = []
  let reason = ''
  for (const line of stderr.split('\n')) {
    const failed = /^Command failed -:(\d+)/.exec(line)
    if (failed === null) reason = line.trim() || reason
    else complaints.push(`ip ${lines[Number(failed[1]) - 1] ?? '?'}: ${reason}`)
  }
  return complaints.length > 0 ? complaints : [stderr.trim() || 'ip failed']
}
