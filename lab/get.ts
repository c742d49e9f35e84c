// SPDX-License-Identifier: Apache-2.0
import { parseArgs } from 'node:util'
import type { Lab } from './lab.ts'

/** Where the API server has what the lab reads: its group's root, its name in paths, and whether it is in namespaces. */
const core = '/api/v1'
const terway = '/apis/network.alibabacloud.com/v1beta1'
const kinds: Readonly<Record<string, readonly [root: string, plural: string, namespaced: boolean]>> = {
  pod: [core, 'pods', true],
  pods: [core, 'pods', true],
  service: [core, 'services', true],
  configmap: [core, 'configmaps', true],
  events: [core, 'events', true],
  nodes: [core, 'nodes', false],
  deployments: ['/apis/apps/v1', 'deployments', true],
  daemonset: ['/apis/apps/v1', 'daemonsets', true],
  lease: ['/apis/coordination.k8s.io/v1', 'leases', true],
  'nodes.network.alibabacloud.com': [terway, 'nodes', false],
  'noderuntimes.network.alibabacloud.com': [terway, 'noderuntimes', false],
}

/** The path of what `kubectl get` would ask for with these arguments. */
export function pathOf(args: readonly string[]): string {
  const options = {
    namespace: { type: 'string', short: 'n', default: 'default' },
    'all-namespaces': { type: 'boolean' },
    selector: { type: 'string', short: 'l' },
    'field-selector': { type: 'string' },
  } as const
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
  const [kind = '', name] = positionals
  const [root, plural, namespaced] = kinds[kind] ?? []
  if (root === undefined) throw new Error(`lab/get.ts does not know ${kind}`)
  const namespace = namespaced && !values['all-namespaces'] ? `/namespaces/${values.namespace}` : ''
  const query = new URLSearchParams()
  if (values.selector !== undefined) query.set('labelSelector', values.selector)
  if (values['field-selector'] !== undefined) query.set('fieldSelector', values['field-selector'])
  return `${root}${namespace}/${plural}${name === undefined ? '' : `/${name}`}${query.size === 0 ? '' : `?${query}`}`
}

/** The items of a list or the object itself, as `kubectl get` with these arguments has them; asked without a program, since tests ask all the time. */
export async function get<T>(lab: Lab, ...args: readonly string[]): Promise<T> {
  const answer = await lab.api.get<T & object>(pathOf(args))
  if (answer === undefined) throw new Error(`there is no ${args.join(' ')}`)
  return 'items' in answer ? (answer.items as T) : answer
}
