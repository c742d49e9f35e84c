// SPDX-License-Identifier: Apache-2.0
import type { CliDeps } from '#cli/deps.ts'
import { type Output, print } from '#cli/output.ts'
import { tableLines } from '#cli/table.ts'
import { type Tree, treeLines } from '#cli/tree.ts'
import type { FrontendView, ServiceView, UseView } from '#compile/service/view.ts'
import { AppError } from '#lib/errors.ts'

/** What terway-policy answers on /services. */
interface Answer {
  readonly node: string
  readonly enabled: boolean
  readonly reason: string
  /** Null while kube-proxy translates. */
  readonly maps: { readonly synced: boolean; readonly pending: number; readonly lastError?: string } | null
  /** What is not as it should be, for good. */
  readonly notes?: readonly string[]
  readonly services: readonly ServiceView[]
}

/** Services as this node serves them: one line for each address and port. */
export async function serviceList(deps: CliDeps, output: Output): Promise<void> {
  const answer = await ask(deps, '/services')
  print(deps, output, answer, a => [
    ...tableLines(['SERVICE', 'TYPE', 'ADDRESS', 'BACKENDS', 'NOTES'], a.services.flatMap(rows)),
    ...stateLines(a),
  ])
}

/** One Service with the backends that each of its addresses has on this node. */
export async function serviceShow(deps: CliDeps, wanted: string, output: Output): Promise<void> {
  const [namespace = '', name = '', ...more] = wanted.split('/')
  if (namespace === '' || name === '' || more.length > 0)
    throw new AppError('bad-argument', `name a Service as namespace/name, not ${wanted}`)
  const query = new URLSearchParams({ namespace, name })
  const answer = await ask(deps, `/services?${query}`)
  const [service] = answer.services
  if (service === undefined) throw new AppError('no-service', [`this node knows no Service ${wanted}`, ...stateLines(answer)].join('; '))
  print(deps, output, service, s => [...treeLines([serviceTree(s)]), ...stateLines(answer)])
}

async function ask(deps: CliDeps, path: string): Promise<Answer> {
  return (await deps.policy(path)) as Answer
}

function rows({ namespace, name, frontends }: ServiceView): string[][] {
  return frontends.map(f => [`${namespace}/${name}`, f.kind, f.address, String(f.inside.backends.length), notesOf(f).join(', ')])
}

function notesOf({ served, sourceRanges, inside, outside }: FrontendView): string[] {
  const local = [...(inside.local ? ['local inside'] : []), ...(outside?.local ? [`local outside (${outside.backends.length})`] : [])]
  return [...(served ? [] : ['another Service has it']), ...local, ...(sourceRanges.length === 0 ? [] : ['source ranges'])]
}

function serviceTree({ namespace, name, affinitySeconds, maglev, frontends }: ServiceView): Tree {
  const affinity = affinitySeconds === 0 ? [] : [{ text: `session affinity: ${affinitySeconds} s` }]
  return {
    text: `${namespace}/${name}`,
    children: [...affinity, ...(maglev ? [{ text: 'backends by Maglev' }] : []), ...frontends.map(frontendTree)],
  }
}

function frontendTree(f: FrontendView): Tree {
  const ranges = f.sourceRanges.length === 0 ? [] : [{ text: `for ${f.sourceRanges.join(', ')} only` }]
  const uses =
    f.outside === undefined
      ? [useTree('from the cluster', f.inside)]
      : [useTree('from the cluster', f.inside), useTree('from outside', f.outside)]
  return { text: `${f.kind} ${f.address}${f.served ? '' : ' (another Service has it)'}`, children: [...ranges, ...uses] }
}

function useTree(who: string, { local, keepSource, backends }: UseView): Tree {
  const how = [...(local ? ['backends of this node only'] : []), ...(keepSource ? ["the client's address is kept"] : [])]
  const text = [who, ...how].join(', ')
  if (backends.length === 0) return { text: `${text}: no backend, ${local ? 'dropped' : 'refused'}` }
  return { text, children: backends.map(b => ({ text: `${b.address} (backend ${b.id})` })) }
}

/** What keeps this from being the whole truth. */
function stateLines({ enabled, reason, maps, notes = [] }: Answer): string[] {
  if (!enabled) return [`kube-proxy translates Services on this node: ${reason}`]
  if (maps?.synced === true) return [...notes]
  return [
    ...notes,
    `not everything is in the maps yet: ${maps === null ? 'there are none' : `${maps.pending} entries wait`}${maps?.lastError === undefined ? '' : ` (${maps.lastError})`}`,
  ]
}
