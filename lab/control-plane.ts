// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { inside } from '../sim/fabric/fabric.ts'
import { type Names, netnsOf } from './names.ts'
import type { Identity } from './node/config.ts'
import { issue, type Pki, writeKubeconfig } from './pki.ts'
import type { ProcessSpec } from './supervisor/spec.ts'

/** The control plane's machine: an instance of the VPC like every node. */
export const CONTROL = 'control'
export const SERVICE_CIDR = '172.21.0.0/20'
/** Of Services in a dual-stack lab. */
export const SERVICE_CIDR6 = 'fd00:172:21::/108'
const API_SERVICE = '172.21.0.1'

/** Certificates and kubeconfigs; `apiPort` is where this machine's loopback reaches the API server. */
export async function prepareControlPlane(names: Names, pki: Pki, address: string, apiPort: number): Promise<void> {
  const server = `https://${address}:6443`
  const services = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'localhost'].map(n => `DNS:${n}`)
  const addresses = [address, '127.0.0.1', API_SERVICE].map(ip => `IP:${ip}`)
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

/** etcd, API server, controller manager and scheduler, in start order. Leases and fsync are off: one of each, and no machine to lose. */
export function controlPlaneSpecs(names: Names, pki: Pki, { address, address6 }: Identity, bin: string): readonly ProcessSpec[] {
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
      `--service-cluster-ip-range=${address6 === undefined ? SERVICE_CIDR : `${SERVICE_CIDR},${SERVICE_CIDR6}`}`,
      `--client-ca-file=${file('ca.crt')}`,
      `--tls-cert-file=${file('apiserver.crt')}`,
      `--tls-private-key-file=${file('apiserver.key')}`,
      `--service-account-key-file=${file('sa.pub')}`,
      `--service-account-signing-key-file=${file('sa.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      '--allow-privileged',
      `--advertise-address=${address}`,
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
    ]),
    spec('kube-scheduler', [`--kubeconfig=${file('kube-scheduler.kubeconfig')}`, '--leader-elect=false']),
  ]
}
