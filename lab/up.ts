// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inside } from '../sim/fabric/fabric.ts'
import { must } from '../sim/fabric/run.ts'
import type { Stack } from '../src/net/stack.ts'
import { createCgroup, joinScript } from './cgroup.ts'
import { defaultSeed } from './cloud/seed.ts'
import { type Context, contextOf, proxyModeHere, servicesOf } from './context.ts'
import { CONTROL, controlPlaneSpecs, prepareControlPlane } from './control-plane.ts'
import { fillFromStore, type Image, imageStore } from './images.ts'
import { type Names, netnsOf, nodeDir } from './names.ts'
import type { Identity, Labels } from './node/config.ts'
import { powerOn } from './node/power.ts'
import { type NodeServices, type ProxyMode, writeNodeFiles } from './node/services.ts'
import { createPki } from './pki.ts'
import { until } from './process.ts'
import type { Progress } from './progress.ts'
import { type LabState, type NodeState, writeState } from './state.ts'
import { SupervisorClient } from './supervisor/client.ts'

export interface UpOptions {
  readonly nodes: number
  /** A seed in the form of sim/seed-schema.ts; a small cloud of two zones when absent. */
  readonly seed?: object
  readonly instanceType: string
  /** Of the nodes in their order, where a node's is another. */
  readonly instanceTypes?: readonly string[]
  /** Of the nodes in their order, with which they register; none where absent. */
  readonly nodeLabels?: readonly Labels[]
  /** Where the nodes' primary addresses come from, in turn; the control plane is in the first. The seed's first vSwitch when empty. */
  readonly vSwitchIds: readonly string[]
  /** What pods and Services have; but for `ipv4`, every machine has an IPv6 address beside its IPv4 one. */
  readonly stack: Stack
  /** kube-proxy's mode; what this machine can do when absent. */
  readonly proxy?: ProxyMode
  readonly bin: string
  readonly images: readonly Image[]
  readonly pauseImage: string
}

const HERE = import.meta.dirname

/** Brings a lab from nothing to registered nodes. Leaves everything as it is when a step fails: `down` removes it. */
export async function bringUp(names: Names, options: UpOptions, progress: Progress): Promise<LabState> {
  if (process.getuid?.() !== 0) throw new Error('the lab makes network namespaces and mounts: run it as root')
  mkdirSync(names.logs, { recursive: true, mode: 0o755 })
  const store = await progress.step('images (unpacked once per machine)', () => imageStore(names.cache, options.bin, options.images))
  const apiPort = await progress.step('supervisor', () => startSupervisor(names))
  const context = contextOf(names, apiPort)
  await progress.step('cloud and fabric', () => startCloud(context, options))
  const control = await createMachine(context, CONTROL, 0, options)
  let state: LabState = {
    name: names.lab,
    apiPort,
    bin: options.bin,
    imageStore: store,
    pauseImage: options.pauseImage,
    instanceType: options.instanceType,
    vSwitchIds: options.vSwitchIds,
    stack: options.stack,
    proxy: options.proxy ?? proxyModeHere(),
    control,
    nodes: [],
  }
  writeState(names, state)
  await createPki(names.pki)
  await prepareControlPlane(names, context.pki, { identity: control, stack: options.stack }, apiPort)
  const nodeNames = Array.from({ length: options.nodes }, (_, i) => `node${i + 1}`)
  const [nodes] = await Promise.all([
    progress.step(`${options.nodes} machine(s) boot`, () =>
      Promise.all(
        nodeNames.map((name, i) =>
          addNode(context, state, i, { name, instanceType: options.instanceTypes?.[i], labels: options.nodeLabels?.[i] }),
        ),
      ),
    ),
    progress.step('control plane serves', () => startControlPlane(context, state)),
  ])
  state = { ...state, nodes }
  writeState(names, state)
  await progress.step('nodes are registered', () => Promise.all(nodeNames.map(name => registered(context, name))))
  return state
}

export interface NewNode {
  readonly name: string
  /** The lab's when absent. */
  readonly instanceType?: string | undefined
  readonly labels?: Labels | undefined
}

/** The `index`-th instance boots and its kubelet starts; it registers itself. */
export async function addNode(context: Context, state: LabState, index: number, wanted: NewNode): Promise<NodeState> {
  const { names } = context
  const { name, instanceType = state.instanceType, labels = {} } = wanted
  const identity = await createMachine(context, name, index, { ...state, instanceType })
  const services = servicesOf(names, state, { name, identity, labels })
  const disk = join(nodeDir(names, name), 'disk', 'containerd')
  mkdirSync(disk, { recursive: true })
  await Promise.all([fillFromStore(state.imageStore, disk), writeNodeFiles(services)])
  await powerOn(context, services)
  return { name, identity, labels, powered: true }
}

/** Waits until the node's Node object exists and its kubelet has reported once. */
export async function registered(context: Context, name: string): Promise<void> {
  interface Node {
    readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
  }
  await until(
    `node ${name} is registered`,
    120_000,
    async () => {
      const node = await context.api.get<Node>(`/api/v1/nodes/${name}`)
      return node?.status?.conditions?.some(c => c.type === 'Ready' && c.status !== 'Unknown')
    },
    100,
  )
}

export function servicesOfNode(context: Context, state: LabState, node: NodeState): NodeServices {
  return servicesOf(context.names, state, node)
}

type Sizing = Pick<UpOptions, 'instanceType' | 'stack' | 'vSwitchIds'>

async function createMachine(
  context: Context,
  name: string,
  index: number,
  { instanceType, stack, vSwitchIds }: Sizing,
): Promise<Identity> {
  const vSwitchId = vSwitchIds[index % vSwitchIds.length]
  const created = await context.cloud.send('/instance/create', {
    name,
    type: instanceType,
    ipv6: stack !== 'ipv4',
    ...(vSwitchId !== undefined && { vSwitchId }),
  })
  const { instanceId, type, regionId, zoneId, primary } = created
  const [address6] = primary.ipv6
  return { instanceId, instanceType: type, regionId, zoneId, address: primary.ipv4, ...(address6 !== undefined && { address6 }) }
}

async function startSupervisor(names: Names): Promise<number> {
  createCgroup(names.cgroup, 'supervisor')
  const log = join(names.logs, 'supervisor.log')
  const script = `${joinScript(names.cgroup, 'supervisor')}\nexec "$@" >>${log} 2>&1`
  const child = spawn('sh', ['-e', '-c', script, 'sh', process.execPath, join(HERE, 'supervisor', 'main.ts'), names.lab], {
    detached: true,
    stdio: 'ignore',
    cwd: join(HERE, '..'),
  })
  child.unref()
  const client = new SupervisorClient(names.supervisorSocket)
  await until(`supervisor answers (see ${log})`, 120_000, () => client.status().catch(() => undefined))
  return client.apiPort()
}

async function startCloud({ names, supervisor, cloud }: Context, options: UpOptions): Promise<void> {
  for (const part of ['fabric', 'internet']) await must(['ip', 'netns', 'add', netnsOf(names, part)])
  createCgroup(names.cgroup, 'cloud')
  mkdirSync(join(names.dir, 'cloud'), { recursive: true })
  writeFileSync(join(names.dir, 'cloud', 'seed.json'), JSON.stringify(options.seed ?? defaultSeed()))
  const spec = (name: string, part: string, argv: readonly string[]) => ({
    name: `cloud/${name}`,
    argv: inside(netnsOf(names, part), [process.execPath, ...argv]),
    log: join(names.logs, `cloud-${name}.log`),
    cgroup: 'cloud',
    restart: true,
    wrapped: false,
  })
  await supervisor.start(spec('simulator', 'fabric', [join(HERE, 'cloud', 'main.ts'), names.lab]))
  await until(`the simulated cloud answers (see ${names.logs}/cloud-simulator.log)`, 120_000, () =>
    cloud.send('/fabric/links', {}).catch(() => undefined),
  )
  await supervisor.start(spec('internet', 'internet', [join(HERE, '..', 'sim', 'fabric', 'internet-host.ts')]))
}

async function startControlPlane(context: Context, state: LabState): Promise<void> {
  const { names, supervisor, cloud, pki, api } = context
  const { instanceId } = state.control
  createCgroup(names.cgroup, CONTROL)
  await must(['ip', 'netns', 'add', netnsOf(names, CONTROL)])
  await cloud.send('/machine/place', { instanceId, netns: netnsOf(names, CONTROL) })
  for (const spec of controlPlaneSpecs(names, pki, { identity: state.control, stack: state.stack }, state.bin)) await supervisor.start(spec)
  await supervisor.start({
    name: `${CONTROL}/gateway`,
    argv: inside(netnsOf(names, CONTROL), [process.execPath, join(HERE, 'gateway.ts'), names.apiSocket, '6443']),
    log: join(names.logs, `${CONTROL}-gateway.log`),
    cgroup: CONTROL,
    restart: true,
    wrapped: false,
  })
  await supervisor.start({
    name: `${CONTROL}/cloud-controller-manager`,
    argv: inside(netnsOf(names, CONTROL), [process.execPath, join(HERE, 'ccm', 'main.ts'), names.lab]),
    log: join(names.logs, `${CONTROL}-cloud-controller-manager.log`),
    cgroup: CONTROL,
    restart: true,
    wrapped: false,
  })
  await until(`the API server is ready (see ${names.logs}/${CONTROL}-kube-apiserver.log)`, 120_000, () => api.ready(), 100)
}
