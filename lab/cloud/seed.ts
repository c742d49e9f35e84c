// SPDX-License-Identifier: Apache-2.0

/** The access key that the default seed knows. It opens a simulation and nothing else. */
export const LAB_KEY = { id: 'lab-access-key', secret: 'lab-access-secret' } as const

/**
 * The cloud of a lab that brings no seed of its own: two zones, each with a vSwitch for machines and one for pods. In the form
 * of a seed file; whoever reads it checks it.
 */
export function defaultSeed(mtu = 1500): object {
  return {
    region: 'cn-hangzhou',
    zones: ['cn-hangzhou-a', 'cn-hangzhou-b'],
    keys: [LAB_KEY],
    roles: [{ name: 'lab-node' }],
    vpc: { id: 'vpc-lab', cidr4: '10.0.0.0/8', cidr6: 'fd00:10::/56', mtu },
    vSwitches: [
      { id: 'vsw-node-a', zone: 'cn-hangzhou-a', cidr4: '10.0.0.0/24', cidr6: 'fd00:10::/64' },
      { id: 'vsw-node-b', zone: 'cn-hangzhou-b', cidr4: '10.0.1.0/24', cidr6: 'fd00:10:0:1::/64' },
      { id: 'vsw-pod-a', zone: 'cn-hangzhou-a', cidr4: '10.1.0.0/20', cidr6: 'fd00:10:0:10::/64' },
      { id: 'vsw-pod-b', zone: 'cn-hangzhou-b', cidr4: '10.2.0.0/20', cidr6: 'fd00:10:0:20::/64' },
    ],
    securityGroups: [
      {
        id: 'sg-lab',
        rules: [{ direction: 'ingress', policy: 'accept', priority: 1, protocol: 'icmp', peer: { cidr: '0.0.0.0/0' } }],
      },
    ],
  }
}
