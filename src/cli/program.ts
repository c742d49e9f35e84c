// SPDX-License-Identifier: Apache-2.0
import { Command } from 'commander'
import { cni } from '#cli/cni.ts'
import { ctList, ctStatus, ctTop, type FlowFilter } from '#cli/ct.ts'
import { datapathOff, datapathOn, datapathStatus, datapathSwitch } from '#cli/datapath.ts'
import type { CliDeps } from '#cli/deps.ts'
import { endpointList } from '#cli/endpoint.ts'
import { execute } from '#cli/execute.ts'
import { install } from '#cli/install.ts'
import { list } from '#cli/list.ts'
import { mapping } from '#cli/mapping.ts'
import { metadata } from '#cli/metadata.ts'
import { monitor } from '#cli/monitor.ts'
import { parseOutput } from '#cli/output.ts'
import { path } from '#cli/path.ts'
import { parsePod, parseProtocol } from '#cli/path-destination.ts'
import { connectFrom, probeBy, protocols } from '#cli/probe.ts'
import { serviceList, serviceShow } from '#cli/service.ts'
import { show } from '#cli/show.ts'
import { why } from '#cli/why.ts'
import { parseDuration } from '#lib/duration.ts'
import { AppError } from '#lib/errors.ts'
import { defaultSocket } from '#rpc/grpc/definition.ts'

/** The commands of terway-cli. Each action only picks its arguments; the command's own file does the work. */
export function makeProgram(deps: CliDeps): Command {
  const program = new Command('terway-cli')
    .description('Shows what terwayd, its programs and terway-policy do on this node; to be run in the terway container there')
    .addHelpText('after', exitHelp)
    .option('-s, --socket <path>', "the daemon's gRPC socket", defaultSocket)
  const socket = () => program.opts<{ socket: string }>().socket

  program
    .command('list [type]')
    .description('types of traced resources, or the names of one type')
    .action((type?: string) => list(deps, socket(), type))
  program
    .command('show <type> [name]')
    .description('configuration and trace of a resource')
    .action((type: string, name?: string) => show(deps, socket(), type, name))
  program
    .command('mapping')
    .description('ENIs with their addresses and pods')
    .option('--json', 'for programs')
    .action((o: { json?: boolean }) => mapping(deps, socket(), o.json === true))
  program
    .command('execute <type> <name> <command> [args...]')
    .description('run a command of a resource: mapping, resdb, why')
    .action((type: string, name: string, command: string, args: string[]) => execute(deps, socket(), { type, name, command, args }))
  program
    .command('metadata')
    .description("this instance's ENIs as the cloud's metadata service shows them")
    .action(() => metadata(deps))
  program
    .command('why <namespace/pod>')
    .description('why a pod has, or has not, got an address')
    .action((pod: string) => why(deps, socket(), pod))
  program
    .command('install <source> <target>')
    .description('copy an executable to the host in one step (init container)')
    .action((source: string, target: string) => install(deps, source, target))
  program
    .command('cni')
    .description('write the CNI list that the daemon would write')
    .requiredOption('--output <file>', 'where to')
    .option('--config-dir <dir>', 'where eni-config is mounted', '/etc/eni')
    .action((o: { output: string; configDir: string }) => cni(deps, o.configDir, o.output))
  const datapath = program.command('datapath').description('how the node forwards pods, and what its programs count')
  datapath
    .command('status')
    .description('mode, reason, programs, devices, counters')
    .action(() => datapathStatus(deps, socket()))
  datapath
    .command('switch <datapath>')
    .description('v2 or veth whatever the label and the configuration say; auto: as they say')
    .action((wanted: string) => datapathSwitch(deps, socket(), wanted))
  datapath
    .command('off')
    .description('leave every packet to the host stack, at once')
    .action(() => datapathOff(deps, socket()))
  datapath
    .command('on')
    .description('end off')
    .action(() => datapathOn(deps, socket()))
  addServices(program, deps)
  addFlows(program, deps, socket)
  addPath(program, deps, socket)
  addMonitor(program, deps, socket)
  return program
}

const exitHelp = `
What goes wrong is said on stderr, with exit status 1. With --output json there is one JSON value on stdout (of monitor one a line).`

const outputOption = ['-o, --output <format>', 'text, or json for programs', 'text'] as const

function addServices(program: Command, deps: CliDeps): void {
  const service = program.command('service').description('Services that the programs of this node translate')
  service
    .command('list')
    .description('each address of each Service')
    .option(...outputOption)
    .action((o: { output: string }) => serviceList(deps, parseOutput(o.output)))
  service
    .command('show <namespace/name>')
    .description('one Service with its backends')
    .option(...outputOption)
    .action((name: string, o: { output: string }) => serviceShow(deps, name, parseOutput(o.output)))
}

function addFlows(program: Command, deps: CliDeps, socket: () => string): void {
  const ct = program.command('ct').description('flows that the programs know of')
  ct.command('list')
    .description('flows, with what narrows them')
    .option('--pod <namespace/name>', 'of this pod')
    .option('--ip <address>', 'of either side, or of the Service')
    .option('--port <number>', 'of either side, or of the Service')
    .option('--state <state>', 'new, open, closing, denied')
    .option('--protocol <name>', 'tcp, udp, sctp, icmp, icmpv6')
    .option('--all', 'also those that have been idle for too long')
    .option(...outputOption)
    .action(({ output, port, ...o }: Omit<FlowFilter, 'port'> & { output: string; port?: string }) =>
      ctList(deps, socket(), { ...o, ...(port !== undefined && { port: wholeNumber(port) }) }, parseOutput(output)),
    )
  ct.command('top')
    .description('flows that carried most, or pods that have most flows')
    .option('--by <what>', 'bytes, packets, or flows: of pods', 'bytes')
    .option('--limit <number>', 'how many', '20')
    .option(...outputOption)
    .action((o: { by: string; limit: string; output: string }) => ctTop(deps, socket(), o.by, wholeNumber(o.limit), parseOutput(o.output)))
  ct.command('status')
    .description('how full the tables are')
    .option(...outputOption)
    .action((o: { output: string }) => ctStatus(deps, parseOutput(o.output)))
  program
    .command('endpoint')
    .description('pods as the programs know them')
    .command('list')
    .description('each with its device, addresses and state')
    .option(...outputOption)
    .action((o: { output: string }) => endpointList(deps, socket(), parseOutput(o.output)))
}

function addPath(program: Command, deps: CliDeps, socket: () => string): void {
  program
    .command('path <namespace/pod> <destination>')
    .description("which way a pod's packets to a destination take, as the programs have it")
    .addHelpText('after', destinationHelp)
    .option('--probe', 'first try it from inside the pod: a connection of TCP, some datagrams of UDP, or echo requests')
    .option('--protocol <name>', `${protocols.join(', ')}: of any when nothing is said, tcp with --probe`)
    .option('-6, --ipv6', 'of a name with addresses of both families the one of IPv6')
    .option(...outputOption)
    .action((pod: string, destination: string, o: PathArguments) => {
      const wish = {
        ...{ pod, destination, ipv6: o.ipv6 === true, probe: o.probe ? probeBy(process.argv[1] ?? '') : undefined },
        ...(o.protocol !== undefined && { protocol: parseProtocol(o.protocol) }),
      }
      return path(deps, socket(), wish, parseOutput(o.output))
    })
  // What `path --probe` starts.
  program
    .command('connect <netns> <protocol> <address> <port>', { hidden: true })
    .action(async (netns: string, protocol: string, address: string, port: string) =>
      deps.out(JSON.stringify(await connectFrom(netns, { protocol: parseProtocol(protocol), address, port: wholeNumber(port) }))),
    )
}

const destinationHelp = `
A destination is one of
  10.0.0.1, 10.0.0.1:80, fd00::1, [fd00::1]:80      an address
  namespace/name[:80]                               a pod
  svc/namespace/name[:80], name.namespace.svc[:80]  a Service
  node/name[:22]                                    a node
with tcp://, udp:// or icmp:// before it if need be.`

interface PathArguments {
  probe?: boolean
  protocol?: string
  ipv6?: boolean
  output: string
}

function addMonitor(program: Command, deps: CliDeps, socket: () => string): void {
  program
    .command('monitor')
    .description(
      "what the programs tell while it runs: drops, first packets of flows to Services, and the node's own connections to Services",
    )
    .option('--drops', 'drops and refusals alone')
    .option('--samples <number>', 'one of so many packets that pass, too')
    .option('--pod <namespace/name>', 'what this pod sends and gets alone')
    .option('--reason <name>', 'drops and refusals for this reason alone')
    .option('--for <duration>', 'how long, as 10s; until it is stopped otherwise')
    .option(...outputOption)
    .action(({ output, samples = '0', for: time, drops = false, ...o }: MonitorArguments) => {
      if (o.pod !== undefined) parsePod(o.pod)
      const duration = time === undefined ? {} : { duration: parseDuration(time) }
      return monitor(deps, socket(), { ...o, ...duration, drops, samples: wholeNumber(samples), output: parseOutput(output) })
    })
}

interface MonitorArguments {
  output: string
  drops?: boolean
  samples?: string
  pod?: string
  reason?: string
  for?: string
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new AppError('bad-argument', `${text} is not a whole number`)
  return Number(text)
}
