// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'

/**
 * Every name that a lab leaves on the machine, so that two labs never meet and `down` finds everything by name alone.
 * Lab and node names have no dots, therefore `terway.a.` is no prefix of a namespace of lab `a-b`.
 */
export interface Names {
  readonly lab: string
  /** State of this lab: everything below is deleted by `down`. */
  readonly dir: string
  /** Shared by all labs: prepared container images. */
  readonly cache: string
  readonly logs: string
  readonly pki: string
  readonly supervisorSocket: string
  readonly cloudSocket: string
  /** The simulator's state, with its operator's socket: what `node sim/cli.ts --state` takes. */
  readonly cloudState: string
  readonly adminSocket: string
  /** Where the gateway in the control plane's namespace takes connections for the API server. */
  readonly apiSocket: string
  /** Record of running processes, for a `down` without the supervisor. */
  readonly processes: string
  /** What `up` decided: nodes, instances, versions. */
  readonly state: string
  /** Prefix of all network namespaces. */
  readonly netnsPrefix: string
  /** Name of the lab's directory in each cgroup hierarchy. */
  readonly cgroup: string
}

export function namesOf(lab: string, root = labRoot()): Names {
  checkName('lab', lab)
  const dir = join(root, lab)
  return {
    lab,
    dir,
    cache: join(root, '.cache'),
    logs: join(dir, 'logs'),
    pki: join(dir, 'pki'),
    supervisorSocket: join(dir, 'supervisor.sock'),
    cloudSocket: join(dir, 'cloud.sock'),
    cloudState: join(dir, 'cloud', 'state'),
    adminSocket: join(dir, 'cloud', 'state', 'admin.sock'),
    apiSocket: join(dir, 'api.sock'),
    processes: join(dir, 'processes.json'),
    state: join(dir, 'lab.json'),
    netnsPrefix: `terway.${lab}.`,
    cgroup: `terway.${lab}`,
  }
}

export function labRoot(): string {
  return process.env.TERWAY_LAB_DIR || '/var/lib/terway-lab'
}

/** Network namespace of a part of the lab: `fabric`, `internet`, `control`, or a node's name. */
export function netnsOf(names: Names, part: string): string {
  return `${names.netnsPrefix}${part}`
}

export function nodeDir(names: Names, node: string): string {
  return join(names.dir, 'nodes', node)
}

/** Throws when a name cannot be part of a namespace, a cgroup, a DNS label and a socket path. */
export function checkName(what: string, name: string): void {
  if (!/^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$/.test(name)) {
    throw new Error(`${what} name ${JSON.stringify(name)}: use 1 to 24 lower-case letters, digits and inner hyphens`)
  }
}
