// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { inside } from '../sim/fabric/fabric.ts'
import { type Ran, run } from '../sim/fabric/run.ts'
import type { Api } from './api.ts'
import { joinScript, processesIn } from './cgroup.ts'
import type { CloudClient } from './cloud/client.ts'
import { type Context, contextOf } from './context.ts'
import { CONTROL, controlPlaneSpecs } from './control-plane.ts'
import { defaultOptions } from './defaults.ts'
import { down } from './down.ts'
import { type Names, namesOf, netnsOf } from './names.ts'
import { nodePath, onNode } from './node/boot.ts'
import type { Identity, Labels } from './node/config.ts'
import { powerOff, powerOn, release } from './node/power.ts'
import { serviceSpecs } from './node/services.ts'
import { argvOf, until } from './process.ts'
import { type Progress, silent } from './progress.ts'
import { type LabState, readState, writeState } from './state.ts'
import type { ProcessStatus } from './supervisor/spec.ts'
import { addNode, bringUp, registered, servicesOfNode, type UpOptions } from './up.ts'

/** What to start; everything but the name has a default. */
export interface UpRequest extends Partial<UpOptions> {
  readonly name: string
  readonly progress?: Progress
}

/** A running lab: the handle for tests and demonstrations. Any process may open it; it has no state of its own. */
export class Lab {
  readonly names: Names
  readonly #context: Context

  private constructor(names: Names, apiPort: number) {
    this.names = names
    this.#context = contextOf(names, apiPort)
  }

  /** Starts a lab and resolves when its nodes are registered (not ready: no CNI plugin is installed). A lab that fails half-way is removed. */
  static async up(request: UpRequest): Promise<Lab> {
    const { name, progress = silent, ...wanted } = request
    const names = namesOf(name)
    if (existsSync(names.dir)) throw new Error(`lab ${name} exists already: 'down --name ${name}' removes it`)
    try {
      const state = await bringUp(names, { ...(await defaultOptions(wanted)), ...wanted }, progress)
      return new Lab(names, state.apiPort)
    } catch (e) {
      if (process.env.TERWAY_LAB_KEEP === undefined) await down(name, silent)
      throw e
    }
  }

  /** The lab of that name, started by any process. */
  static open(name: string): Lab {
    const names = namesOf(name)
    return new Lab(names, readState(names).apiPort)
  }

  /** Removes a lab, whatever is left of it. */
  static down(name: string, progress: Progress = silent): Promise<void> {
    return down(name, progress)
  }

  down(progress: Progress = silent): Promise<void> {
    return down(this.names.lab, progress)
  }

  /** An administrator's kubeconfig that works on this machine, by loopback. */
  get kubeconfig(): string {
    return join(this.names.dir, 'kubeconfig')
  }

  get state(): LabState {
    return readState(this.names)
  }

  get cloud(): CloudClient {
    return this.#context.cloud
  }

  get api(): Api {
    return this.#context.api
  }

  /** Runs kubectl as administrator with `input` on its standard input; throws with its message when it fails. */
  async kubectl(args: readonly string[], input = ''): Promise<string> {
    const ran = await this.kubectlRaw(args, input)
    if (ran.code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${ran.stderr.trim()}`)
    return ran.stdout
  }

  kubectlRaw(args: readonly string[], input = ''): Promise<Ran> {
    return run([join(this.state.bin, 'kubectl'), `--kubeconfig=${this.kubeconfig}`, ...args], input)
  }

  node(name: string): LabNode {
    if (!this.state.nodes.some(n => n.name === name)) throw new Error(`lab ${this.names.lab} has no node ${name}`)
    return new LabNode(this.#context, name)
  }

  nodes(): readonly LabNode[] {
    return this.state.nodes.map(n => new LabNode(this.#context, n.name))
  }

  /** A new instance joins the cluster, of the lab's type when none is named; resolves when it is registered. */
  async join(name: string, instanceType?: string, labels?: Labels): Promise<LabNode> {
    const state = this.state
    if (state.nodes.some(n => n.name === name) || ['fabric', 'internet', CONTROL].includes(name))
      throw new Error(`the name ${name} is taken`)
    const node = await addNode(this.#context, state, state.nodes.length, { name, instanceType, labels })
    writeState(this.names, { ...state, nodes: [...state.nodes, node] })
    await registered(this.#context, name)
    return new LabNode(this.#context, name)
  }

  /** All programs that the lab runs, named `<machine>/<program>`. */
  processes(): Promise<readonly ProcessStatus[]> {
    return this.#context.supervisor.status()
  }

  /** One running program, for example `process('node1', 'kubelet')` or `process('control', 'kube-apiserver')`; throws when it does not run. */
  process(machine: string, program: string): Promise<ProcessStatus & { readonly pid: number }> {
    return this.#context.supervisor.running(`${machine}/${program}`)
  }

  /** Starts the API server again, with further flags. */
  async restartApiServer(...flags: readonly string[]): Promise<void> {
    const { names, pki, supervisor, api } = this.#context
    const { control, stack, bin } = this.state
    const spec = controlPlaneSpecs(names, pki, { identity: control, stack }, bin).find(({ name }) => name === `${CONTROL}/kube-apiserver`)
    if (spec === undefined) throw new Error('the control plane has no API server')
    await supervisor.start({ ...spec, argv: [...spec.argv, ...flags] })
    await until('the API server is ready again', 120_000, () => api.ready(), 100)
  }

  /** Runs a program on the control plane's machine: an instance of the VPC that is no node. */
  onControl(argv: readonly string[], input = ''): Promise<Ran> {
    return run(inside(netnsOf(this.names, CONTROL), argv), input)
  }

  /** Runs a program in the internet's namespace: what the world sees. */
  onInternet(argv: readonly string[]): Promise<Ran> {
    return run(inside(netnsOf(this.names, 'internet'), argv))
  }
}

/** One node of a lab. */
export class LabNode {
  readonly name: string
  readonly #context: Context

  constructor(context: Context, name: string) {
    this.#context = context
    this.name = name
  }

  get identity(): Identity {
    return this.#state.identity
  }

  /** Whether the node's power is on. */
  get powered(): boolean {
    return this.#state.powered
  }

  /** Network namespace of the machine, by name in /run/netns. */
  get netns(): string {
    return netnsOf(this.#context.names, this.name)
  }

  /** Process id of the node's first process. `/proc/<pid>/root` is the node's file system, seen from this machine. */
  async init(): Promise<number> {
    return (await this.#context.supervisor.running(`${this.name}/init`)).pid
  }

  /** Runs a program on the node, as root, in all its namespaces and its cgroup. */
  async exec(argv: readonly string[], input = ''): Promise<Ran> {
    return run(await this.argv(argv), input)
  }

  /** The command line by which this machine runs a program on the node; the lab's own programs (ctr, kubectl) are in its PATH. */
  async argv(program: readonly string[]): Promise<readonly string[]> {
    const { names } = this.#context
    const script = `${joinScript(names.cgroup, this.name)}\nexec "$@"`
    const path = `PATH=${nodePath(readState(names).bin)}`
    return ['sh', '-e', '-c', script, 'sh', ...onNode(await this.init(), ['env', path, ...program])]
  }

  process(program: string): Promise<ProcessStatus & { readonly pid: number }> {
    return this.#context.supervisor.running(`${this.name}/${program}`)
  }

  /** Ends one of the node's own programs (`kubelet`) at once, and keeps it down. */
  async stop(program: string): Promise<void> {
    await this.#context.supervisor.stop(`${this.name}/${program}`, true)
  }

  /** Starts one of them, or starts it again. */
  async start(program: string): Promise<void> {
    const spec = serviceSpecs(this.#services, await this.init()).find(({ name }) => name === `${this.name}/${program}`)
    if (spec === undefined) throw new Error(`${this.name} has no program ${program}`)
    await this.#context.supervisor.start(spec)
  }

  /** Everything that runs on the node now, pods included, with this machine's process ids: to signal a process of a container. */
  programs(): readonly { readonly pid: number; readonly argv: readonly string[] }[] {
    return processesIn(join(this.#context.names.cgroup, this.name)).flatMap(pid => {
      const argv = argvOf(pid)
      return argv.length === 0 ? [] : [{ pid, argv }]
    })
  }

  /** Pulls the plug. The Node object stays; its ENIs stay attached. */
  async kill(): Promise<void> {
    await powerOff(this.#context, this.#services)
    this.#update(false)
  }

  /** Reboot: power off if it is on, then power on with a new boot id. Resolves when its services run. */
  async restart(): Promise<void> {
    if (this.powered) await this.kill()
    await powerOn(this.#context, this.#services)
    this.#update(true)
  }

  /** The instance is released: nothing of it remains, and the Node object is deleted. */
  async leave(): Promise<void> {
    await release(this.#context, this.#services)
    const state = readState(this.#context.names)
    writeState(this.#context.names, { ...state, nodes: state.nodes.filter(n => n.name !== this.name) })
  }

  get #state() {
    const found = readState(this.#context.names).nodes.find(n => n.name === this.name)
    if (found === undefined) throw new Error(`node ${this.name} has left the lab`)
    return found
  }

  get #services() {
    return servicesOfNode(this.#context, readState(this.#context.names), this.#state)
  }

  #update(powered: boolean): void {
    const state = readState(this.#context.names)
    writeState(this.#context.names, { ...state, nodes: state.nodes.map(n => (n.name === this.name ? { ...n, powered } : n)) })
  }
}
