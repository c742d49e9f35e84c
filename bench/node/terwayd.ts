// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { callCni } from '../../test/support/cni-client.ts'
import { until } from '../../test/support/until.ts'
import { root } from '../../tools/components.ts'
import { outDir } from '../measure/row.ts'

const cniSocket = '/run/eni/cni.socket'
const conflist = '/host-etc-net.d/10-terway.conflist'
const debugSocket = '/run/eni/eni_debug.socket'
/** PROFILE=1: a CPU profile for the browser's developer tools, written when the process is stopped. It costs time: not for figures. */
export const profile = process.env.PROFILE === '1' ? ['--cpu-prof', `--cpu-prof-dir=${join(outDir, 'profile')}`] : []
export const shim = join(root, 'build', 'terway')

/** The bundled terwayd (make build) as the DaemonSet starts it, in this bench machine. It ends with the machine. */
export class Terwayd {
  readonly process: ChildProcess
  readonly log: string

  constructor(o: { readonly dir: string; readonly nodeName: string; readonly kubeconfig: string }) {
    writeFileSync('/etc/eni/eni_conf', '{"version":"1"}')
    writeFileSync('/etc/eni/10-terway.conf', '{"cniVersion":"1.0.0","name":"terway","type":"terway"}')
    this.log = join(o.dir, 'terwayd.log')
    const out = openSync(this.log, 'a')
    const chart = readFileSync(join(root, 'deploy/chart/terway/templates/daemonset.yaml'), 'utf8')
    const args = [
      ...nodeOptions(chart, 'terwayd.mjs'),
      ...profile,
      join(root, 'dist', 'terwayd.mjs'),
      '-config',
      '/etc/eni/eni_conf',
      '-log-level',
      'info',
    ]
    const env = { ...mallocEnv(chart), PATH: process.env.PATH, NODE_NAME: o.nodeName, POD_NAMESPACE: 'kube-system' }
    this.process = spawn(process.execPath, [...args, '--kubeconfig', o.kubeconfig], { env, stdio: ['ignore', out, out], cwd: '/' })
    closeSync(out)
  }

  /** Until it has written the CNI configuration, which it does when it serves. Throws with the log's end when it does not. */
  async ready(): Promise<void> {
    try {
      await until(() => {
        if (this.process.exitCode !== null) throw new Error('terwayd ended')
        return existsSync(conflist)
      }, 'terwayd is ready')
      const { exit, body } = await callCni(cniSocket, { command: 'STATUS' })
      if (exit !== 0) throw new Error(body?.msg)
    } catch (e) {
      const last = readFileSync(this.log, 'utf8').trimEnd().split('\n').slice(-8)
      throw new Error([e instanceof Error ? e.message : String(e), ...last.map(line => line.slice(0, 400))].join('\n'))
    }
  }

  /** Stops it and forgets its node: ledger and sockets. */
  async remove(): Promise<void> {
    const exited = new Promise(resolve => this.process.once('exit', resolve))
    if (this.process.kill('SIGTERM')) await exited
    for (const path of ['/var/lib/cni/terway', '/run/eni', conflist]) rmSync(path, { recursive: true, force: true })
  }

  /** Resident memory in MB (2^20 bytes), everything mapped from files included. */
  rss(): number {
    return megabytes(this.process.pid, 'VmRSS')
  }

  /** The memory that no other process could share, in MB: without the mapped files of the Node binary. */
  anonymous(): number {
    return megabytes(this.process.pid, 'RssAnon')
  }

  /** CPU time of all its threads so far, in milliseconds; the kernel counts it in hundredths of a second. */
  cpuMs(): number {
    return cpuMsOf(this.process.pid)
  }

  /** Until the kernel has removed every device of a pod. The daemon is not asked: that would cost it time. */
  async settled(): Promise<void> {
    await until(() => !readdirSync('/sys/class/net').some(name => name.startsWith('cali')), 'every device is gone')
  }

  /** Samples of a metric, by the value of the label, or by '' without labels. */
  async metric(name: string, label: string): Promise<ReadonlyMap<string, number>> {
    const lines = (await this.#get('/metrics')).split('\n').filter(line => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)))
    const of = (line: string) => new RegExp(`[{,]${label}="([^"]*)"`).exec(line)?.[1] ?? ''
    return new Map(lines.map(line => [of(line), Number(line.slice(line.lastIndexOf(' ') + 1))]))
  }

  #get(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: debugSocket, path }, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => resolve(Buffer.concat(chunks).toString()))
      })
      asked.on('error', reject)
      asked.end()
    })
  }
}

/** A line of a process's status, in MB (2^20 bytes). */
export function megabytes(pid: number | undefined, line: 'VmRSS' | 'RssAnon' | 'VmHWM'): number {
  const kb = new RegExp(`^${line}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kb) / 1024
}

/** CPU time of all threads of a process so far, in milliseconds; the kernel counts it in hundredths of a second. */
export function cpuMsOf(pid: number | undefined): number {
  // proc_pid_stat(5): the name in parentheses may hold anything; utime and stime are fields 14 and 15, in USER_HZ.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** The options of Node that the chart starts a bundle with. */
export function nodeOptions(chart: string, bundle: string): string[] {
  const [before, after] = chart.split(`- /usr/lib/terway/${bundle}`)
  const command = before?.split('- /usr/local/bin/node\n').at(-1)
  if (command === undefined || after === undefined) throw new Error(`the DaemonSet does not start ${bundle} as this benchmark expects`)
  return [...command.matchAll(/- (--\S+)/g)].map(match => match[1] ?? '')
}

/** The variables of its environment that the C library reads. */
export function mallocEnv(chart: string): Record<string, string> {
  return Object.fromEntries([...chart.matchAll(/- \{name: (MALLOC_\w+), value: "(.*?)"\}/g)].map(match => [match[1] ?? '', match[2] ?? '']))
}
