// SPDX-License-Identifier: Apache-2.0
// Connections, half of them silent, through tables of connections, while ten times more first packets come than these have entries.
import { DatapathLab, hostIp4, internet4 } from '../../test/kernel/datapath-lab.ts'
import { nodes, putServices } from '../../test/kernel/datapath-services.ts'
import { until } from '../../test/support/until.ts'
import { amount } from '../measure/machine.ts'
import { type Row, row } from '../measure/row.ts'
import { compiled, LineProcess } from '../node/runner.ts'
import { netnsFile } from './world.ts'

/** Of the table of flows; the others have their part of it. */
const entries = amount(8192, 1024)
const connections = amount(20, 5)
const clusterIp = '10.96.0.10'
/** The Service's three TCP ports are one behind the other, those of the node likewise. */
const [port, nodePort] = [7777, 30_010]
const pod = 'pod11'

/** So many connections, of which half are silent meanwhile, from one namespace to another, by an address that leads there. */
class Heartbeats {
  readonly #process: LineProcess

  constructor(
    lab: DatapathLab,
    client: string,
    server: string,
    to: { readonly ip: string; readonly port: number; readonly serverPort: number },
  ) {
    const netns = (name: string) => netnsFile(`${lab.prefix}-${name}`)
    const clients = Array.from({ length: connections }, () => netns(client))
    this.#process = new LineProcess([compiled('heartbeat'), to.ip, String(to.port), String(to.serverPort), netns(server), ...clients])
  }

  /** All are open and used; from now on every other one is silent. */
  async rested(): Promise<void> {
    await this.#process.hear(1)
    const dead = await this.#silent()
    if (dead > 0) throw new Error(`${dead} of ${connections} connections were dead from the start`)
    await this.#said('rest')
  }

  /** How many are dead: what was sent does not come back, also after some seconds. */
  async lost(): Promise<number> {
    // What came back before this moment counts for nothing.
    await this.#said('beat')
    return this.#silent()
  }

  async #silent(): Promise<number> {
    const silent = new Set(Array.from({ length: connections }, (_, i) => i))
    const look = async () => {
      for (const [i, { echoed }] of (await this.#said('')).entries()) if (echoed > 0) silent.delete(i)
      return silent.size === 0
    }
    await until(look, 'every connection answers', 10_000).catch(() => {})
    return silent.size
  }

  async #said(line: string): Promise<readonly { readonly echoed: number }[]> {
    this.#process.say(`${line}\n`)
    const [answer = '[]'] = await this.#process.hear(1)
    return JSON.parse(answer)
  }

  close(): void {
    this.#process.close()
  }
}

/** From pods, to them, and at a port of the node, through tables that are small. */
export async function floodRows(): Promise<readonly Row[]> {
  const lab = await DatapathLab.create('flood', { v2: true })
  try {
    const services = { natPortFirst: 61_000, natPortLast: 65_535 }
    await lab.datapath.setNode({ ...nodes.v2, services, flowEntries: entries }, [])
    await putServices(lab.kernel, [{ name: 'remote', ips: [clusterIp], backends: [internet4], nodePort }])
    await lab.datapath.setup(lab.pod(11))
    const ofPods = [
      new Heartbeats(lab, pod, 'gw1', { ip: internet4, port, serverPort: port }),
      new Heartbeats(lab, pod, 'gw1', { ip: clusterIp, port: port + 1, serverPort: port + 1 }),
    ]
    // What the node itself sends leaves by eth0.
    const ofClients = [new Heartbeats(lab, 'gw0', 'gw0', { ip: hostIp4, port: nodePort + 2, serverPort: port + 2 })]
    for (const heartbeats of [...ofPods, ...ofClients]) await heartbeats.rested()
    const flood = (from: string, source: string, to: string, at: number) =>
      lab.run(from, `${compiled('syn-flood')} ${source} ${to} ${at} ${10 * entries}`)
    flood(pod, '10.0.1.11', '198.51.100.77', 80)
    flood('gw1', '203.0.113.7', '10.0.1.11', 80)
    const lostOf = async (all: readonly Heartbeats[]) => (await Promise.all(all.map(h => h.lost()))).reduce((a, b) => a + b, 0)
    const pods = await lostOf(ofPods)
    flood('gw0', '192.0.2.77', hostIp4, nodePort + 2)
    const rows = [row('dp.synflood.lost', [pods + (await lostOf(ofPods))]), row('dp.synflood.nodeport.lost', [await lostOf(ofClients)])]
    for (const heartbeats of [...ofPods, ...ofClients]) heartbeats.close()
    return rows
  } finally {
    await lab.close()
  }
}
