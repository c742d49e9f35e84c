// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { defaultTiming } from '#sim/model/settings.ts'
import type { FabricView } from '#sim/model/view.ts'
import { parseSeed } from '#sim/seed.ts'
import { Simulator } from '#sim/simulator.ts'
import { until } from '../../test/support/until.ts'
import { root } from '../../tools/components.ts'
import type { BenchCluster } from './cluster.ts'

const key = { id: 'bench', secret: 'bench-secret' }
const region = 'cn-bench'
const zone = 'cn-bench-a'
/** 8 ENIs with 30 addresses each. */
const instanceType = 'ecs.g7.4xlarge'
export const podVSwitch = { id: 'vsw-pods', cidr: '10.20.0.0/16', gateway: '10.20.255.253' }
export const securityGroup = 'sg-bench'

/**
 * The shortest time in which the cloud can give a node without ENIs its first addresses, in seconds: the ENI is created,
 * attached, and shown as attached. Every call is answered at once, and the ENIs of a node are made side by side.
 */
export const cloudTime = (defaultTiming.creating + defaultTiming.attaching + defaultTiming.describeLag) / 1000

/** The simulated cloud with its own durations and limits, over HTTP, and the bundled terway-controlplane in front of it. */
export class BenchCloud {
  readonly simulator: Simulator
  readonly #cluster: BenchCluster

  private constructor(simulator: Simulator, cluster: BenchCluster) {
    this.simulator = simulator
    this.#cluster = cluster
  }

  static async start(dir: string, cluster: BenchCluster): Promise<BenchCloud> {
    const seed = parseSeed({
      region,
      zones: [zone],
      keys: [key],
      vpc: { id: 'vpc-bench', cidr4: '10.0.0.0/8' },
      vSwitches: [
        { id: 'vsw-nodes', zone, cidr4: '10.10.0.0/24' },
        { id: podVSwitch.id, zone, cidr4: podVSwitch.cidr },
      ],
      securityGroups: [{ id: securityGroup }],
    })
    const cloud = new BenchCloud(new Simulator({ seed }), cluster)
    const { port } = await cloud.simulator.listen({ host: '127.0.0.1', port: 0 })
    await cloud.#startControlplane(dir, `127.0.0.1:${port}`)
    return cloud
  }

  async #startControlplane(dir: string, endpoint: string): Promise<void> {
    const config = { regionID: region, clusterID: 'bench', vpcID: 'vpc-bench', healthzBindAddress: '127.0.0.1:10280' }
    writeFileSync(join(dir, 'ctrl-config.yaml'), JSON.stringify(config))
    writeFileSync(join(dir, 'ctrl-secret.yaml'), JSON.stringify({ accessKey: key.id, accessSecret: key.secret }), { mode: 0o600 })
    const log = join(dir, 'controlplane.log')
    const out = openSync(log, 'a')
    const env = {
      PATH: process.env.PATH,
      KUBECONFIG: this.#cluster.kubeconfig,
      ECS_ENDPOINT: endpoint,
      VPC_ENDPOINT: endpoint,
      ALICLOUD_CLIENT_SCHEME: 'HTTP',
    }
    const files = ['-config', join(dir, 'ctrl-config.yaml'), '-credential', join(dir, 'ctrl-secret.yaml')]
    const child = spawn(process.execPath, [join(root, 'dist', 'terway-controlplane.mjs'), ...files], { env, stdio: ['ignore', out, out] })
    closeSync(out)
    await until(() => {
      const said = readFileSync(log, 'utf8')
      if (child.exitCode !== null) throw new Error(`terway-controlplane ended:\n${said}`)
      return said.includes('the cluster is known')
    }, 'terway-controlplane leads')
  }

  /** A new instance without secondary ENIs; `register` makes it a node of the cluster. */
  instance(name: string): { readonly id: string; register(): Promise<void> } {
    const { instanceId } = this.simulator.createInstance({
      name,
      type: instanceType,
      vSwitchId: 'vsw-nodes',
      securityGroupIds: [securityGroup],
    })
    const labels = {
      'topology.kubernetes.io/region': region,
      'topology.kubernetes.io/zone': zone,
      'node.kubernetes.io/instance-type': instanceType,
    }
    return { id: instanceId, register: () => this.#cluster.register(name, labels, `${region}.${instanceId}`) }
  }

  /** Calls back with the secondary ENIs that are attached to the instance, now and after each change. Returns the unsubscriber. */
  follow(instanceId: string, callback: (enis: FabricView['enis']) => void): () => void {
    const tell = (view: FabricView) => callback(view.enis.filter(e => e.instanceId === instanceId && e.type === 'Secondary'))
    tell(this.simulator.view())
    return this.simulator.onView(tell)
  }
}

/** eni-config of the cluster, with this many warm addresses. */
export function eniConf(minPoolSize: number): object {
  return {
    version: '1',
    ipam_type: 'crd',
    vswitches: { [zone]: [podVSwitch.id] },
    security_group: securityGroup,
    min_pool_size: minPoolSize,
    max_pool_size: Math.max(50, minPoolSize),
  }
}
