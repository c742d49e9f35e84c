// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { readSeed } from '../sim/seed.ts'
import { stacks } from '../src/net/stack.ts'
import { tracesOf } from './down.ts'
import { Lab } from './lab.ts'
import { collectLogs } from './logs.ts'
import { labRoot, namesOf } from './names.ts'
import { addressesOf, exclusive } from './node/config.ts'
import type { ProxyMode } from './node/services.ts'
import { printProgress } from './progress.ts'
import { stackFrom } from './stack.ts'

const program = new Command('lab').description('Kubernetes on a simulated Alibaba Cloud VPC, on this machine alone')
const named = (text: string) => program.command(text).option('--name <lab>', 'which lab', 'lab')

interface UpFlags {
  readonly name: string
  readonly nodes: string
  readonly seed?: string
  readonly instanceType: string
  readonly stack: string
  readonly proxy?: ProxyMode
  readonly exclusive: string
}
named('up')
  .description('start a lab')
  .option('--nodes <n>', 'number of nodes', '1')
  .option('--seed <file>', 'what the cloud holds (sim/README.md)')
  .option('--instance-type <type>', 'ECS instance type of every machine', 'ecs.g7.xlarge')
  .option('--stack <stack>', `families of pods and Services: ${stacks.join(', ')}`, 'ipv4')
  .option('--proxy <mode>', 'kube-proxy: iptables, nftables or off')
  .option('--exclusive <n>', 'so many of the nodes, the last ones, give each pod an ENI', '0')
  .action(async ({ nodes: count, seed, proxy, stack, exclusive: of, ...rest }: UpFlags) => {
    const nodes = Number(count)
    const nodeLabels = Array.from({ length: nodes }, (_, i) => (i < nodes - Number(of) ? {} : exclusive))
    const chosen = { ...(seed !== undefined && { seed: readSeed(seed) }), ...(proxy !== undefined && { proxy }) }
    const lab = await Lab.up({ ...rest, ...chosen, stack: stackFrom('--stack', stack), nodes, nodeLabels, progress: printProgress() })
    console.log(`\nexport KUBECONFIG=${lab.kubeconfig}`)
  })

named('down')
  .description('remove a lab, whatever is left of it')
  .action((o: { name: string }) => Lab.down(o.name, printProgress()))

named('status')
  .description('what runs')
  .action(async (o: { name: string }) => {
    const lab = Lab.open(o.name)
    const { control, nodes } = lab.state
    const width = Math.max(...[control, ...nodes.map(n => n.identity)].map(i => addressesOf(i).join(' ').length))
    for (const { name, identity, powered } of [{ name: 'control', identity: control, powered: true }, ...nodes]) {
      console.log(
        `${name.padEnd(12)} ${addressesOf(identity).join(' ').padEnd(width)} ${identity.instanceId}  ${identity.zoneId}  power ${powered ? 'on' : 'off'}`,
      )
    }
    for (const p of await lab.processes()) {
      console.log(`${p.name.padEnd(32)} ${p.running ? `pid ${p.pid}` : 'down'}${p.restarts > 0 ? `, restarted ${p.restarts}×` : ''}`)
    }
  })

program
  .command('list')
  .description('labs on this machine')
  .action(() => {
    const labs = existsSync(labRoot()) ? readdirSync(labRoot()).filter(n => !n.startsWith('.')) : []
    for (const name of labs) console.log(`${name.padEnd(24)} ${tracesOf(namesOf(name)).processes.length} processes`)
  })

named('kubectl')
  .description('kubectl as administrator: lab kubectl -- get nodes')
  .argument('[args...]')
  .action((args: string[], o: { name: string }) => {
    const lab = Lab.open(o.name)
    inherit([join(lab.state.bin, 'kubectl'), `--kubeconfig=${lab.kubeconfig}`, ...args])
  })

named('exec')
  .description('run a program on a node: lab exec node1 -- ip route')
  .argument('<node>')
  .argument('<command...>')
  .action(async (node: string, command: string[], o: { name: string }) => {
    const lab = Lab.open(o.name)
    inherit(await lab.node(node).argv(command))
  })

const node = program.command('node').description('power and membership of nodes')
interface NodeFlags {
  readonly name: string
  readonly exclusive?: true
}
const nodeVerb = (verb: string, what: string, work: (lab: Lab, node: string, flags: NodeFlags) => Promise<unknown>) =>
  node
    .command(verb)
    .description(what)
    .argument('<node>')
    .option('--name <lab>', 'which lab', 'lab')
    .action(async (name: string, flags: NodeFlags) => {
      await printProgress().step(`${name}: ${verb}`, () => work(Lab.open(flags.name), name, flags))
    })
nodeVerb('kill', 'pull the plug', (lab, name) => lab.node(name).kill())
nodeVerb('restart', 'reboot, or power on again', (lab, name) => lab.node(name).restart())
nodeVerb('join', 'a new instance joins', (lab, name, flags) => lab.join(name, undefined, flags.exclusive ? exclusive : {})).option(
  '--exclusive',
  'it gives each pod an ENI',
)
nodeVerb('leave', 'the instance is released', (lab, name) => lab.node(name).leave())

const logs = program.command('logs').description('logs of everything that the lab runs')
logs
  .command('collect')
  .argument('<directory>')
  .option('--name <lab>', 'which lab', 'lab')
  .action((directory: string, o: { name: string }) => {
    collectLogs(Lab.open(o.name), directory)
    console.log(directory)
  })

/** Runs a program on this terminal and ends with its exit code. */
function inherit(argv: readonly string[]): void {
  const [file = '', ...args] = argv
  const { status, error } = spawnSync(file, args, { stdio: 'inherit' })
  if (error !== undefined) throw error
  process.exitCode = status ?? 1
}

try {
  await program.parseAsync()
} catch (e) {
  console.error(e instanceof Error ? e.message : e)
  process.exitCode = 1
}
