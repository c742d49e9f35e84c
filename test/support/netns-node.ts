// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultOptions, type Options } from '#daemon/deps.ts'
import type { Addresses } from '#daemon/expose/serve.ts'
import { realClock } from '#lib/clock.ts'
import { gatewayOf, parseCidr } from '#net/cidr.ts'
import type { Stack } from '#net/stack.ts'
import { type CniCall, type CniReply, podArgs } from './cni-client.ts'
import { serveKube } from './kube-ipc.ts'
import { KubeModel } from './kube-model.ts'
import { eni, macOfEni, NodeWorld, nodeName } from './node-world.ts'
import { compileShim, type Shim } from './shim.ts'
import type { TerwaydConfig } from './terwayd.ts'
import { until } from './until.ts'

let worlds = 0

interface Start {
  readonly wrap?: readonly string[]
  readonly exposed?: Addresses
  /** Where programs are pinned, on a BPF file system of the test. */
  readonly pins?: string
}

/**
 * A node made of network namespaces, with a fabric behind its ENI: pods answer pings of the fabric's gateway and of each
 * other. The node itself has an IPv6 address in dual stack only. terwayd runs in it as a process, CNI calls go through the
 * compiled shim, the cluster is a KubeModel here. Everything carries the name `twd<pid>-<n>` and goes with the world.
 */
export class NetnsNode implements AsyncDisposable {
  /** MACs of the node's ENIs. */
  readonly enis: readonly string[]
  readonly name = `twd${process.pid}-${worlds++}`
  readonly dir = mkdtempSync(join(tmpdir(), 'terwayd-'))
  readonly model = new KubeModel(realClock)
  readonly cluster: NodeWorld
  readonly options: Options
  readonly ledgerPath = join(this.dir, 'lib', 'ledger.db')
  bootId = 'boot-1'
  process: ChildProcess | undefined
  readonly #shim: Shim = compileShim()
  readonly #pods = new Set<string>()

  /** `addresses`: of one ENI that pods share, or of several (eni-1, eni-2, …) of which pods have one each. */
  constructor(addresses: readonly string[] | readonly (readonly string[])[], options: Partial<Options> = {}, stack: Stack = 'ipv4') {
    const lists = addresses.filter(list => typeof list !== 'string')
    const perEni = lists.length > 0 ? lists : [addresses.filter(address => typeof address === 'string')]
    this.cluster = new NodeWorld(this.model, lists.length > 0 ? [] : perEni.flat(), stack)
    if (lists.length > 0) this.cluster.exclusive(lists)
    this.enis = perEni.map((_, i) => macOfEni(i + 1))
    for (const sub of ['etc', 'net.d', 'netns']) mkdirSync(join(this.dir, sub))
    this.mount({ cniVersion: '0.4.0', name: 'terway', type: 'terway' })
    this.options = {
      ...defaultOptions,
      nodeName,
      cniSocket: join(this.dir, 'cni.socket'),
      cniConfDir: join(this.dir, 'etc'),
      hostCniDir: join(this.dir, 'net.d'),
      switchPath: join(this.dir, 'datapath'),
      capabilitiesPath: join(this.dir, 'node_capabilities'),
      datapathMemoryPath: join(this.dir, 'datapath.json'),
      // Other nodes have theirs in /run/netns, and ENIs of the same MACs.
      netnsDir: join(this.dir, 'netns'),
      podWait: 60_000,
      addressWait: 60_000,
      statusWait: 100,
      reportInterval: 20,
      podGoneFloor: 500,
      ...options,
    }
    try {
      this.#makeNamespaces()
      for (const [i, list] of perEni.entries()) this.#plugIn(i + 1, list)
      if (stack === 'dual') ip('-n', this.name, 'addr', 'add', 'fd00::10/128', 'dev', 'eth0', 'nodad')
    } catch (e) {
      this.#remove()
      throw e
    }
  }

  /** The mounted CNI configuration. */
  mount(conf: object): void {
    writeFileSync(join(this.dir, 'etc', '10-terway.conf'), JSON.stringify(conf))
  }

  #makeNamespaces(): void {
    const [node, fabric] = [this.name, `${this.name}-f`]
    for (const ns of [node, fabric]) {
      ip('netns', 'add', ns)
      ip('-n', ns, 'link', 'set', 'lo', 'up')
    }
    ip('-n', node, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'port0', 'netns', fabric)
    ip('-n', fabric, 'addr', 'add', '192.168.0.253/24', 'dev', 'port0')
    ip('-n', fabric, 'link', 'set', 'port0', 'up')
    ip('-n', node, 'addr', 'add', '192.168.0.10/24', 'dev', 'eth0')
    ip('-n', node, 'link', 'set', 'eth0', 'up')
    ip('-n', node, 'route', 'add', 'default', 'via', '192.168.0.253')
  }

  /** An ENI: eth<n> of the node, and a port of the fabric from which its addresses are reached. */
  #plugIn(n: number, addresses: readonly string[]): void {
    const [fabric, mac, port] = [`${this.name}-f`, macOfEni(n), `port${n}`]
    ip('-n', this.name, 'link', 'add', `eth${n}`, 'address', mac, 'type', 'veth', 'peer', 'name', port, 'netns', fabric)
    ip('-n', fabric, 'addr', 'add', gatewayOf(parseCidr(eni.cidr)), 'dev', port)
    ip('-n', fabric, 'addr', 'add', gatewayOf(parseCidr(eni.cidr6)), 'dev', port, 'nodad')
    ip('-n', fabric, 'link', 'set', port, 'up')
    for (const address of addresses) {
      ip('-n', fabric, 'route', 'add', address, 'dev', port)
      ip('-n', fabric, 'neigh', 'add', address, 'lladdr', mac, 'dev', port, 'nud', 'permanent')
    }
  }

  /** Where each ENI's device is: `node`, or the container ids of sandboxes. */
  places(): readonly string[] {
    const found = new Map([this.name, ...this.#pods].map(ns => [ns, ip('-n', ns, '-o', 'link').join()]))
    const short = (ns: string) => (ns === this.name ? 'node' : ns.slice(this.name.length + 1))
    const of = (mac: string) => [...found].flatMap(([ns, links]) => (links.includes(`link/ether ${mac} `) ? [short(ns)] : []))
    return this.enis.map(mac => of(mac).join('+') || 'nowhere')
  }

  /** Starts terwayd; resolves when its socket is open. `crashAt` arms a crash point; `wrap` is a command line before node's. */
  async start(o: { readonly crashAt?: string } & Start = {}): Promise<ChildProcess> {
    const { options, ledgerPath, bootId } = this
    const config: TerwaydConfig = { options, ledgerPath, bootId, ...(o.exposed && { exposed: o.exposed }), ...(o.pins && { pins: o.pins }) }
    rmSync(this.options.cniSocket, { force: true })
    const child = spawn(
      'nsenter',
      [`--net=/run/netns/${this.name}`, ...(o.wrap ?? []), process.execPath, join(import.meta.dirname, 'terwayd.ts')],
      {
        env: { ...process.env, TERWAYD_TEST: JSON.stringify(config), ...(o.crashAt === undefined ? {} : { TERWAY_CRASH_AT: o.crashAt }) },
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        serialization: 'json',
      },
    )
    this.process = child
    serveKube(child, this.model.client('terwayd'))
    await until(
      () => existsSync(this.options.cniSocket) || child.exitCode !== null || child.signalCode !== null,
      'terwayd to open its socket',
    )
    return child
  }

  /** Also waits until STATUS succeeds. */
  async started(o: Start = {}): Promise<ChildProcess> {
    const child = await this.start(o)
    await until(async () => (await this.call({ command: 'STATUS' })).exit === 0, 'STATUS to succeed')
    return child
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.process
    this.process = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise(resolve => child.once('exit', resolve))
    child.kill(signal)
    await exited
  }

  call(call: CniCall): Promise<CniReply> {
    return this.#shim.run(this.options.cniSocket, call)
  }

  /** A namespace for a sandbox, as the runtime makes it. */
  sandbox(containerId: string): string {
    const ns = `${this.name}-${containerId}`
    if (!this.#pods.has(ns)) {
      ip('netns', 'add', ns)
      ip('-n', ns, 'link', 'set', 'lo', 'up')
      symlinkSync(`/run/netns/${ns}`, join(this.dir, 'netns', ns))
      this.#pods.add(ns)
    }
    return `/run/netns/${ns}`
  }

  /** What a disk that fails does to the ledger. Only while no terwayd runs. */
  loseLedger(): void {
    for (const suffix of ['', '-wal', '-shm']) rmSync(this.ledgerPath + suffix, { force: true })
  }

  removeSandbox(containerId: string): void {
    const ns = `${this.name}-${containerId}`
    if (!this.#pods.delete(ns)) return
    rmSync(join(this.dir, 'netns', ns))
    ip('netns', 'del', ns)
  }

  add(pod: string, containerId = `c-${pod}`): Promise<CniReply> {
    return this.call({ command: 'ADD', containerId, netns: this.sandbox(containerId), args: podArgs('default', pod, `uid-${pod}`) })
  }

  del(containerId: string): Promise<CniReply> {
    return this.call({ command: 'DEL', containerId, netns: `/run/netns/${this.name}-${containerId}` })
  }

  /** `ip` in the node's namespace, its output as lines. */
  ip(...args: string[]): string[] {
    return ip('-n', this.name, ...args)
  }

  /** What the node's kernel has of ours, sorted: host links, policy rules, routes over host links. */
  state(): string[] {
    const links = this.ip('-o', 'link', 'show', 'type', 'veth').flatMap(l => /^\d+: (cali[0-9a-f]+)/.exec(l)?.[1] ?? [])
    const of = (what: string) => ['-4', '-6'].flatMap(family => this.ip(family, what)).map(l => l.replace(/\s+/g, ' ').trim())
    const rules = of('rule').filter(l => /^(512|2048):/.test(l))
    // Every device has a link-local network of the kernel's.
    const routes = of('route').filter(l => l.includes(' dev cali') && !l.startsWith('fe80::/64'))
    return [...links, ...rules, ...routes].sort()
  }

  /** Whether the fabric's gateway reaches the address, through the ENI, the node and the pod, and back: a closed port refuses. */
  reaches(address: string, seconds = 30): boolean {
    return this.reachesFrom(`${this.name}-f`, address, seconds)
  }

  reachesFrom(namespace: string, address: string, seconds = 30): boolean {
    const command = `exec 3<>/dev/tcp/${address}/9`
    const { stderr } = spawnSync('ip', ['netns', 'exec', namespace, 'timeout', String(seconds), 'bash', '-c', command], {
      encoding: 'utf8',
    })
    return stderr.includes('Connection refused')
  }

  #remove(): void {
    for (const ns of [...this.#pods, this.name, `${this.name}-f`]) {
      try {
        ip('netns', 'del', ns)
      } catch {
        // The test removed it already.
      }
    }
    this.#shim[Symbol.dispose]()
    rmSync(this.dir, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    this.#remove()
  }
}

export function ip(...args: string[]): string[] {
  return execFileSync('ip', args, { encoding: 'utf8' })
    .split('\n')
    .filter(line => line !== '')
}
