// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { inside } from '../sim/fabric/fabric.ts'
import type { Stack } from '../src/net/stack.ts'
import { type Names, netnsOf } from './names.ts'
import { addressesOf, type Identity } from './node/config.ts'
import { issue, type Pki, writeKubeconfig } from './pki.ts'
import { serviceRange } from './service-range.ts'
import type { ProcessSpec } from './supervisor/spec.ts'

/** The control plane's machine: an instance of the VPC like every node. */
export const CONTROL = 'control'

/** Where the control plane runs, and the families of the cluster. */
export interface ControlMachine {
  readonly identity: Identity
  readonly stack: Stack
}

/** Certificates and kubeconfigs; `apiPort` is where this machine's loopback reaches the API server. */
export async function prepareControlPlane(names: Names, pki: Pki, machine: ControlMachine, apiPort: number): Promise<void> {
  const { identity, stack } = machine
  const server = `https://${identity.address}:6443`
  const services = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'localhost'].map(n => `DNS:${n}`)
  const addresses = [...addressesOf(identity), '127.0.0.1', serviceRange(stack).api].map(ip => `IP:${ip}`)
  await Promise.all([
    issue(pki, { name: 'apiserver', subject: '/CN=kube-apiserver', alternative: [...services, ...addresses] }),
    issue(pki, { name: 'admin', subject: '/O=system:masters/CN=admin', alternative: [] }),
    ...['kube-controller-manager', 'kube-scheduler', 'kube-proxy'].map(name =>
      issue(pki, { name, subject: `/CN=system:${name}`, alternative: [] }),
    ),
  ])
  for (const name of ['kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'admin']) writeKubeconfig(pki, name, server)
  writeKubeconfig(pki, 'admin', `https://127.0.0.1:${apiPort}`, join(names.dir, 'kubeconfig'))
}

/** The address that stands behind the Service `kubernetes` must be of that Service's family; the API server listens on IPv4 alone unless told. */
function listening({ identity, stack }: ControlMachine): readonly string[] {
  const { address, address6 = address } = identity
  return stack === 'ipv6' ? [`--advertise-address=${address6}`, '--bind-address=::'] : [`--advertise-address=${address}`]
}

/** etcd, API server, controller manager and scheduler, in start order. Leases and fsync are off: one of each, and no machine to lose. */
export function controlPlaneSpecs(names: Names, pki: Pki, machine: ControlMachine, bin: string): readonly ProcessSpec[] {
  const file = (name: string) => join(pki.dir, name)
  const spec = (program: string, args: readonly string[]): ProcessSpec => ({
    name: `${CONTROL}/${program}`,
    argv: inside(netnsOf(names, CONTROL), [join(bin, program), ...args]),
    log: join(names.logs, `${CONTROL}-${program}.log`),
    cgroup: CONTROL,
    restart: true,
    wrapped: false,
  })
  return [
    spec('etcd', [
      `--data-dir=${join(names.dir, 'etcd')}`,
      '--unsafe-no-fsync',
      '--listen-client-urls=http://127.0.0.1:2379',
      '--advertise-client-urls=http://127.0.0.1:2379',
      '--listen-peer-urls=http://127.0.0.1:2380',
    ]),
    spec('kube-apiserver', [
      '--etcd-servers=http://127.0.0.1:2379',
      `--service-cluster-ip-range=${serviceRange(machine.stack).cidrs.join(',')}`,
      `--client-ca-file=${file('ca.crt')}`,
      `--tls-cert-file=${file('apiserver.crt')}`,
      `--tls-private-key-file=${file('apiserver.key')}`,
      `--service-account-key-file=${file('sa.pub')}`,
      `--service-account-signing-key-file=${file('sa.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      '--allow-privileged',
      ...listening(machine),
      `--kubelet-client-certificate=${file('admin.crt')}`,
      `--kubelet-client-key=${file('admin.key')}`,
      '--kubelet-preferred-address-types=InternalIP',
    ]),
    spec('kube-controller-manager', [
      `--kubeconfig=${file('kube-controller-manager.kubeconfig')}`,
      `--service-account-private-key-file=${file('sa.key')}`,
      `--root-ca-file=${file('ca.crt')}`,
      '--use-service-account-credentials',
      '--leader-elect=false',
      '--allocate-node-cidrs=false',
      // A Deployment of many pods is not to wait for the controllers' own limits.
      '--kube-api-qps=100',
      '--kube-api-burst=200',
    ]),
    spec('kube-scheduler', [`--kubeconfig=${file('kube-scheduler.kubeconfig')}`, '--leader-elect=false']),
  ]
}
