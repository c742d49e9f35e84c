// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { must, run } from '../../sim/fabric/run.ts'
import { createCgroup, killCgroup } from '../cgroup.ts'
import type { Context } from '../context.ts'
import { until } from '../process.ts'
import { bootArgv, READY } from './boot.ts'
import { prepareDisk } from './disk.ts'
import { type NodeServices, serviceSpecs } from './services.ts'

/**
 * Power on: a new network namespace, the instance's ENIs in it, a new boot. Resolves when the node's services run;
 * the Node object follows. The node's disk is as the last power off left it.
 */
export async function powerOn(context: Context, node: NodeServices): Promise<void> {
  const { machine, identity } = node
  const { supervisor, cloud, names } = context
  createCgroup(names.cgroup, machine.name)
  await must(['ip', 'netns', 'add', machine.netns])
  await cloud.send('/instance/power', { instanceId: identity.instanceId, on: true })
  await cloud.send('/machine/place', { instanceId: identity.instanceId, netns: machine.netns })
  prepareDisk(machine)
  const log = join(names.logs, `${machine.name}-boot.log`)
  const init = await supervisor.start({
    name: `${machine.name}/init`,
    argv: bootArgv(machine),
    log,
    cgroup: machine.name,
    restart: false,
    wrapped: true,
  })
  const marker = join(machine.dir, READY)
  await until(`${machine.name} boots (see ${log})`, 10_000, () => existsSync(marker) && readFileSync(marker, 'utf8') === 'ready\n')
  if (init.pid === undefined) throw new Error(`${machine.name} has no first process: see ${log}`)
  const [containerd, ...others] = serviceSpecs(node, init.pid)
  if (containerd !== undefined) await supervisor.start(containerd)
  const socket = `/proc/${init.pid}/root/run/containerd/containerd.sock`
  await until(`containerd of ${machine.name} answers`, 20_000, () => existsSync(socket))
  for (const spec of others) await supervisor.start(spec)
}

/**
 * Power off without warning: every process of the node is killed, memory file systems and the network namespace are
 * gone. The ENIs stay attached in the cloud.
 */
export async function powerOff(context: Context, node: NodeServices): Promise<void> {
  const { machine, identity, names } = node
  const { supervisor, cloud } = context
  const programs = (await supervisor.status()).filter(p => p.name.startsWith(`${machine.name}/`))
  await supervisor.stop(`${machine.name}/init`, true)
  await Promise.all(programs.map(p => supervisor.stop(p.name, true)))
  await killCgroup(join(names.cgroup, machine.name))
  await cloud.send('/machine/unplace', { instanceId: identity.instanceId })
  await run(['ip', 'netns', 'del', machine.netns])
  await cloud.send('/instance/power', { instanceId: identity.instanceId, on: false })
}

/** The instance is released: machine, disk and ENIs are gone, and the Node object, as the cloud controller manager does it. */
export async function release(context: Context, node: NodeServices): Promise<void> {
  await powerOff(context, node)
  await context.cloud.send('/instance/delete', { instanceId: node.identity.instanceId })
  const deleted = await context.api.send('DELETE', `/api/v1/nodes/${node.machine.name}`)
  if (deleted.status >= 300 && deleted.status !== 404)
    throw new Error(`node ${node.machine.name} is not deleted: ${deleted.status} ${deleted.text}`)
  for (const { name } of await context.supervisor.status()) {
    if (name.startsWith(`${node.machine.name}/`)) await context.supervisor.forget(name)
  }
  rmSync(node.machine.dir, { recursive: true, force: true })
}
