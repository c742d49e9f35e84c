// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { parseSeed } from './seed.ts'
import type { Seed } from './seed-schema.ts'
import { Simulator } from './simulator.ts'
import { VirtualClock } from './virtual-clock.ts'

/** A small seed for unit tests; `changes` replace whole blocks. */
export function smallSeed(changes: Partial<Seed> = {}): Seed {
  return parseSeed({
    region: 'cn-lab',
    zones: ['cn-lab-a', 'cn-lab-b'],
    keys: [{ id: 'key', secret: 'secret' }],
    roles: [{ name: 'node', allow: ['DescribeInstances'] }],
    vpc: { id: 'vpc-1', cidr4: '10.0.0.0/16', cidr6: 'fd00::/56' },
    vSwitches: [
      { id: 'vsw-a', zone: 'cn-lab-a', cidr4: '10.0.0.0/24', cidr6: 'fd00::/64' },
      { id: 'vsw-b', zone: 'cn-lab-b', cidr4: '10.0.1.0/24' },
      { id: 'vsw-small', zone: 'cn-lab-a', cidr4: '10.0.2.0/28' },
    ],
    securityGroups: [{ id: 'sg-1' }],
    instances: [{ name: 'node-1', type: 'ecs.lab.medium', vSwitch: 'vsw-a', securityGroups: ['sg-1'], role: 'node' }],
    timing: { creating: 100, attaching: 1000, detaching: 1000, deleting: 100, describeLag: 0, metadataLag: 500 },
    ...changes,
  })
}

/** A simulator in virtual time, with the calls that most tests need. */
export function world(changes: Partial<Seed> = {}, stateDir?: string) {
  const clock = new VirtualClock()
  const simulator = new Simulator({ seed: smallSeed(changes), clock, ...(stateDir !== undefined && { stateDir }) })
  const [instance] = simulator.instances()
  if (instance === undefined) throw new Error('the seed has no instance')
  const call = (action: string, params: Readonly<Record<string, string>> = {}) => simulator.call(action, params) as Promise<Reply>
  /** Creates an ENI and waits until it is Available. */
  const createEni = async (params: Readonly<Record<string, string>> = {}) => {
    const { NetworkInterfaceId } = await call('CreateNetworkInterface', { VSwitchId: 'vsw-a', SecurityGroupId: 'sg-1', ...params })
    clock.pass(100)
    return NetworkInterfaceId
  }
  const attach = async (eniId: string, params: Readonly<Record<string, string>> = {}) => {
    await call('AttachNetworkInterface', { NetworkInterfaceId: eniId, InstanceId: instance.instanceId, ...params })
    clock.pass(1000)
  }
  const eni = (id: string) => simulator.store.state.get('eni', id)
  return { clock, simulator, instance, call, createEni, attach, eni }
}

/** The fields of replies that tests read. */
export interface Reply {
  readonly NetworkInterfaceId: string
  readonly AssignedPrivateIpAddressesSet: { readonly PrivateIpSet: { readonly PrivateIpAddress: readonly string[] } }
  readonly Ipv6Sets: { readonly Ipv6Address: readonly string[] }
  readonly NetworkInterfaceSets: {
    readonly NetworkInterfaceSet: readonly { readonly NetworkInterfaceId: string; readonly Status: string; readonly Type: string }[]
  }
  readonly VSwitches: { readonly VSwitch: readonly { readonly AvailableIpAddressCount: number }[] }
  readonly NextToken: string
}

/** For assert.rejects: the error is a CloudFault with this code. */
export const code = (expected: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, expected, String(error))
  return true
}
