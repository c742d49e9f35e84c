// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The Go programs that the lab runs, with the exact versions it was tried with and how each is recognised and built. */

export const root = join(import.meta.dirname, '..')

/** Prints the version of a program: `program args` must answer with a text that contains `expect`. */
export interface Probe {
  program: string
  args: readonly string[]
  expect: string
}

export interface Component {
  name: 'kubernetes' | 'containerd' | 'helm'
  version: string
  /** Every name that must be there; symlinks to one multi-call binary or programs of their own. */
  programs: readonly string[]
  probes: readonly Probe[]
  build: Build
}

/** `module`: one binary from a Go module of this repository, linked under every program name. `install`: one package per program. */
export type Build =
  | { kind: 'module'; directory: string; ldflags: string }
  | { kind: 'install'; packages: readonly string[]; tags: string; ldflags: string }

const kubernetesVersion = 'v1.34.4'
/** The version that lab/kubernetes/go.mod embeds. */
const etcdVersion = '3.6.4'
const versionPackage = 'k8s.io/component-base/version'
const kubernetesPrograms = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy']

export const components: readonly Component[] = [
  {
    name: 'kubernetes',
    version: kubernetesVersion,
    programs: ['etcd', 'kubectl', ...kubernetesPrograms],
    probes: [
      { program: 'etcd', args: ['--version'], expect: `etcd Version: ${etcdVersion}` },
      { program: 'kubectl', args: ['version', '--client'], expect: `Client Version: ${kubernetesVersion}` },
      ...kubernetesPrograms.map(program => ({ program, args: ['--version'], expect: `Kubernetes ${kubernetesVersion}` })),
    ],
    build: {
      kind: 'module',
      directory: 'lab/kubernetes',
      // Without these the components report v0.0.0 and helm and the version skew checks refuse the cluster.
      ldflags: `-s -w -X ${versionPackage}.gitVersion=${kubernetesVersion} -X ${versionPackage}.gitMajor=1 -X ${versionPackage}.gitMinor=34`,
    },
  },
  {
    name: 'containerd',
    version: 'v2.4.2',
    programs: ['containerd', 'containerd-shim-runc-v2', 'ctr'],
    probes: [
      { program: 'containerd', args: ['--version'], expect: '2.4.2' },
      { program: 'containerd-shim-runc-v2', args: ['-v'], expect: '2.4.2' },
      { program: 'ctr', args: ['--version'], expect: '2.4.2' },
    ],
    build: {
      kind: 'install',
      packages: ['containerd', 'containerd-shim-runc-v2', 'ctr'].map(name => `github.com/containerd/containerd/v2/cmd/${name}@v2.4.2`),
      tags: 'no_btrfs,no_zfs,no_devmapper',
      ldflags: '-s -w',
    },
  },
  {
    name: 'helm',
    version: 'v3.22.0',
    programs: ['helm'],
    probes: [{ program: 'helm', args: ['version', '--short'], expect: 'v3.22.0' }],
    build: {
      kind: 'install',
      packages: ['helm.sh/helm/v3/cmd/helm@v3.22.0'],
      tags: '',
      ldflags: '-s -w -X helm.sh/helm/v3/internal/version.version=v3.22.0',
    },
  },
]

/** A short hash of everything that decides what a component is: its table above and, for a module of ours, its sources. */
export function keyOf(component: Component): string {
  const hash = createHash('sha256').update(JSON.stringify(component))
  if (component.build.kind === 'module') {
    for (const file of ['go.mod', 'go.sum', 'main.go']) hash.update(readFileSync(join(root, component.build.directory, file)))
  }
  return hash.digest('hex').slice(0, 12)
}
