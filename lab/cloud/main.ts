// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { listenAdmin } from '../../sim/admin.ts'
import { METADATA_ADDRESS, OPENAPI_ADDRESS } from '../../sim/fabric/base.ts'
import { Fabric } from '../../sim/fabric/fabric.ts'
import { listenMetadata } from '../../sim/metadata.ts'
import type { FabricView } from '../../sim/model/view.ts'
import { parseSeed } from '../../sim/seed.ts'
import { Simulator } from '../../sim/simulator.ts'
import { namesOf, netnsOf } from '../names.ts'
import type { CloudRequests, Device } from './protocol.ts'

/*
 * The cloud of one lab: simulator and fabric in one process, which runs inside the fabric's network namespace so that
 * its servers are reachable from the VPC. Its state is in the lab's directory: it may be killed and started again, and
 * goes on where it was. `node main.ts <lab>`; it answers on the lab's cloud socket.
 */
const names = namesOf(process.argv[2] ?? '')
const dir = join(names.dir, 'cloud')
const machinesFile = join(dir, 'machines.json')
mkdirSync(dir, { recursive: true })

const simulator = new Simulator({ seed: parseSeed(JSON.parse(readFileSync(join(dir, 'seed.json'), 'utf8'))), stateDir: names.cloudState })
const machines = new Map<string, string>(existsSync(machinesFile) ? Object.entries(JSON.parse(readFileSync(machinesFile, 'utf8'))) : [])
const placed = new Map([...machines].map(([id, netns]) => [id, { netns, configurePrimary: true }]))
const fabricNames = { fabric: netnsOf(names, 'fabric'), internet: netnsOf(names, 'internet') }
const fabric = await Fabric.adopt(fabricNames, simulator.view(), placed)
fabric.guard()
const show = (view: FabricView) => fabric.show(view).catch((e: Error) => console.error(e.message))
let shown = show(simulator.view())
simulator.onView(view => {
  shown = show(view)
})
await shown

const handlers: { [P in keyof CloudRequests]: (request: CloudRequests[P]['request']) => Promise<CloudRequests[P]['reply']> } = {
  '/instance/create': async ({ name, type, vSwitchId, ipv6 }) => {
    const { vSwitches, securityGroups } = simulator.view()
    const vSwitch = vSwitches.find(v => vSwitchId === undefined || v.id === vSwitchId)
    if (vSwitch === undefined) throw new Error(`the seed has no vSwitch ${vSwitchId}`)
    const securityGroupIds = securityGroups.slice(0, 1).map(g => g.id)
    const { state } = simulator.store
    const [role] = state.list('role').map(r => ({ role: r.id }))
    const created = simulator.createInstance({ name, type, vSwitchId: vSwitch.id, securityGroupIds, ipv6Count: ipv6 ? 1 : 0, ...role })
    return { ...created, regionId: state.settings.regionId }
  },
  '/instance/delete': async ({ instanceId }) => {
    await unplace(instanceId)
    simulator.deleteInstance(instanceId)
    await shown
    return null
  },
  '/instance/power': async ({ instanceId, on }) => {
    if (on) simulator.startInstance(instanceId)
    else simulator.stopInstance(instanceId)
    return null
  },
  '/machine/place': async ({ instanceId, netns }) => {
    machines.set(instanceId, netns)
    saveMachines()
    await fabric.place(instanceId, { netns, configurePrimary: true })
    return null
  },
  '/machine/unplace': async ({ instanceId }) => unplace(instanceId),
  '/fabric/links': async () => {
    await shown
    const devices = [...fabric.links.values()].flatMap(({ eniId, end, mac }): [string, Device][] =>
      end.kind === 'veth' ? [[eniId, { netns: end.netns, dev: `eth${end.slot}`, mac }]] : [],
    )
    return Object.fromEntries(devices)
  },
  '/balancer/list': async () => simulator.balancers().map(({ name }) => ({ name })),
  '/balancer/put': async ({ listeners, ...wanted }) => {
    const vSwitchId = simulator.view().vSwitches[0]?.id ?? ''
    const { private4, public4, ipv6 } = simulator.ensureBalancer({ ...wanted, vSwitchId })
    simulator.setListeners(wanted.name, listeners)
    await shown
    return [...private4, ...public4, ...ipv6]
  },
  '/balancer/delete': async ({ name }) => {
    simulator.deleteBalancer(name)
    await shown
    return null
  },
  '/call': async ({ action, params }) => simulator.call(action, params),
}

async function unplace(instanceId: string): Promise<null> {
  machines.delete(instanceId)
  saveMachines()
  await fabric.unplace(instanceId)
  return null
}

function saveMachines(): void {
  writeFileSync(`${machinesFile}.new`, JSON.stringify(Object.fromEntries(machines)))
  renameSync(`${machinesFile}.new`, machinesFile)
}

async function answer(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const path = request.url ?? ''
  if (!Object.hasOwn(handlers, path)) throw new Error(`no such request: ${path}`)
  const handler = handlers[path as keyof CloudRequests] as (body: unknown) => Promise<unknown>
  return handler(JSON.parse(Buffer.concat(chunks).toString()))
}

await simulator.listen({ host: OPENAPI_ADDRESS, port: 80 })
await listenMetadata(simulator, { host: METADATA_ADDRESS, port: 80 })
await listenAdmin(simulator, names.adminSocket)
rmSync(names.cloudSocket, { force: true })
createServer((request, response) => {
  answer(request).then(
    reply => response.end(JSON.stringify(reply ?? null)),
    (e: Error & { code?: string }) => {
      response.statusCode = 400
      response.end(JSON.stringify({ error: e.message, ...(e.code !== undefined && { code: e.code }) }))
    },
  )
}).listen(names.cloudSocket)
