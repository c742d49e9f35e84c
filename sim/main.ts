// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { parse } from 'yaml'
import { listenAdmin, requireNobody } from './admin.ts'
import { parseFault } from './fault.ts'
import { listenMetadata } from './metadata.ts'
import { readSeed } from './seed.ts'
import { Simulator } from './simulator.ts'

interface Options {
  readonly seed: string
  readonly listen: string[]
  readonly state?: string
  readonly metadata?: string
  readonly metadataAs?: string
  readonly faults?: string
}

/** `127.0.0.1:8090` or `[::1]:8090`. */
function parseListen(text: string): { readonly host: string; readonly port: number } {
  const match = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(text)
  if (match?.[1] === undefined || Number(match[2]) > 65_535) throw new Error(`${JSON.stringify(text)} is no host:port`)
  return { host: match[1], port: Number(match[2]) }
}

async function main(options: Options): Promise<void> {
  const seed = readSeed(options.seed)
  if (options.state !== undefined) await requireNobody(join(options.state, 'admin.sock'))
  const simulator = new Simulator({ seed, ...(options.state !== undefined && { stateDir: options.state }) })
  const faults: unknown = options.faults === undefined ? [] : parse(readFileSync(options.faults, 'utf8'))
  if (!Array.isArray(faults)) throw new Error(`${options.faults} holds no list of faults`)
  for (const fault of faults) simulator.addFault(parseFault(fault))
  for (const address of options.listen) {
    const { host, port } = await simulator.listen(parseListen(address))
    console.log(`OpenAPI of region ${seed.region} on http://${host}:${port}`)
  }
  if (options.metadata !== undefined) {
    const loopbackAs = options.metadataAs ?? seed.instances?.[0]?.name
    const { host, port } = await listenMetadata(simulator, {
      ...parseListen(options.metadata),
      ...(loopbackAs !== undefined && { loopbackAs }),
    })
    console.log(`instance metadata on http://${host}:${port}${loopbackAs === undefined ? '' : ` (the loopback is ${loopbackAs})`}`)
  }
  if (options.state !== undefined) {
    const path = join(options.state, 'admin.sock')
    await listenAdmin(simulator, path)
    console.log(`admin socket ${path}`)
  }
  for (const { name, instanceId, zoneId, primary } of simulator.instances())
    console.log(`instance ${name} ${instanceId} ${zoneId} ${primary.ipv4} ${primary.mac}`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void simulator.stop())
}

const program = new Command('sim')
  .description('A simulated Alibaba Cloud account: ECS and VPC OpenAPI, instance metadata. No account, no network.')
  .option('--seed <file>', 'what the account holds at first (YAML)', join(import.meta.dirname, 'seeds', 'demo.yaml'))
  .option('--listen <host:port...>', 'addresses of the OpenAPI', ['127.0.0.1:8090'])
  .option('--state <dir>', 'keep the state here, and serve the admin socket; nothing is kept when absent')
  .option('--metadata <host:port>', 'address of the metadata service')
  .option('--metadata-as <instance>', 'the instance that callers on the loopback are taken for (the first of the seed)')
  .option('--faults <file>', 'faults to begin with: a YAML list')

main(program.parse().opts<Options>()).catch(error => {
  console.error(`sim: ${error instanceof Error ? error.message : error}`)
  process.exit(1)
})
