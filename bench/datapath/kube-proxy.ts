// SPDX-License-Identifier: Apache-2.0
// The real kube-proxy writes its rules for these Services in the network namespace of a node. This file is a program too, which runs in that namespace:
// it serves kube-proxy the objects, and ends it when its rules are there. They stay.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type ProxyMode, proxyFlags } from '../../lab/node/services.ts'
import { until } from '../../test/support/until.ts'
import { binDir } from '../../tools/bin.ts'
import { ListApi } from '../node/api.ts'
import { collectionsOf } from './service-objects.ts'
import type { Addresses, BenchService, Family } from './services.ts'

type Mode = Exclude<ProxyMode, 'off'>

interface Work {
  readonly node: string
  readonly ips: Addresses
  readonly mode: Mode
  readonly services: readonly BenchService[]
}

/** `node` is the name of its network namespace, too. */
export function writeRules(work: Work): void {
  execFileSync('ip', ['netns', 'exec', work.node, process.execPath, import.meta.filename], {
    input: JSON.stringify(work),
    stdio: ['pipe', 'inherit', 'inherit'],
  })
}

async function writeHere({ node, ips, mode, services }: Work): Promise<void> {
  const api = new ListApi(collectionsOf(services, { name: node, ips }))
  const log = join(mkdtempSync(join(tmpdir(), 'kube-proxy-')), 'log')
  const proxy = start(node, mode, await api.listen(), log)
  const wanted = services.length + services.reduce((sum, { endpoints }) => sum + endpoints.length, 0)
  try {
    await until(() => {
      if (proxy.exitCode !== null) throw new Error('kube-proxy ended')
      return ([4, 6] as const).every(family => translations(mode, family) === wanted)
    }, `kube-proxy's rules for ${services.length} Services`)
  } catch (e) {
    console.error(readFileSync(log, 'utf8'))
    throw e
  } finally {
    if (proxy.kill()) await once(proxy, 'exit')
    api.close()
  }
}

/** As the lab starts it. */
function start(node: string, mode: Mode, master: string, log: string): ChildProcess {
  const out = openSync(log, 'a')
  const args = [`--master=${master}`, '--kube-api-content-type=application/json', ...proxyFlags(mode, node)]
  const proxy = spawn(join(binDir(), 'kube-proxy'), args, { stdio: ['ignore', out, out] })
  closeSync(out)
  return proxy
}

/** What shows the rules of a mode, and those that lead an address of a Service to its endpoints, and such to an endpoint. */
const looks: Readonly<Record<Mode, (family: Family) => { readonly command: readonly [string, ...string[]]; readonly pattern: RegExp }>> = {
  nftables: family => ({
    command: ['nft', 'list', 'table', family === 4 ? 'ip' : 'ip6', 'kube-proxy'],
    pattern: /: goto service-| dnat to /g,
  }),
  iptables: family => ({
    command: [family === 4 ? 'iptables-save' : 'ip6tables-save', '-t', 'nat'],
    pattern: /-A KUBE-SERVICES .*-j KUBE-SVC-|-j DNAT /g,
  }),
}

function translations(mode: Mode, family: Family): number {
  const { command, pattern } = looks[mode](family)
  const [program, ...args] = command
  try {
    const rules = execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 2 ** 28 })
    return rules.match(pattern)?.length ?? 0
  } catch {
    // There is no such table yet.
    return 0
  }
}

if (import.meta.main) await writeHere(JSON.parse(await text(process.stdin)) as Work)
