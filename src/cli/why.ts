// SPDX-License-Identifier: Apache-2.0
import { type CliDeps, type PodPlace, withDaemon } from '#cli/deps.ts'
import { parsePod } from '#cli/path-destination.ts'
import { isAppError, messageOf } from '#lib/errors.ts'
import { resourceName, resourceType } from '#rpc/grpc/tracing.ts'

/**
 * Why a pod has, or has not, got an address. Asks this node's daemon; when there is none, or it does not know the pod, says
 * where the pod is and what to run there.
 */
export async function why(deps: CliDeps, socket: string, pod: string): Promise<void> {
  const { namespace, name } = parsePod(pod)
  const findings = await askDaemon(deps, socket, `${namespace}/${name}`)
  for (const line of findings ?? []) deps.out(line)
  if (findings !== undefined && !findings[0]?.endsWith(': unknown')) return
  for (const line of await locate(deps, namespace, name, `why ${namespace}/${name}`)) deps.out(line)
}

/** Undefined when no daemon runs here. */
async function askDaemon(deps: CliDeps, socket: string, pod: string): Promise<string[] | undefined> {
  try {
    return await withDaemon(deps, socket, async daemon => {
      const r = { Type: resourceType, Name: resourceName, Command: 'why', Args: [pod] }
      return await Array.fromAsync(daemon.execute(r))
    })
  } catch (e) {
    if (isAppError(e) && e.code === 'daemon-unreachable') return undefined
    throw e
  }
}

/** Where the pod is, and how to run the same command there. */
export async function locate(deps: CliDeps, namespace: string, name: string, command: string): Promise<string[]> {
  let place: PodPlace | undefined
  try {
    place = await deps.findPod(namespace, name)
  } catch (e) {
    return [
      `cannot ask the API server where ${namespace}/${name} is: ${messageOf(e)}`,
      'run this command in the terway container of its node',
    ]
  }
  if (place === undefined) return [`the API server has no pod ${namespace}/${name}`]
  if (place.hostNetwork) return [`${namespace}/${name} uses the network of its node: Terway gives it no address`]
  if (place.nodeName === undefined)
    return [`${namespace}/${name} is ${place.phase} and not scheduled to a node yet: the scheduler's events say why`]
  return [
    `${namespace}/${name} is on node ${place.nodeName}; ask the daemon there:`,
    `  kubectl -n kube-system get pods -l app=terway-eniip --field-selector spec.nodeName=${place.nodeName} -o name`,
    `  kubectl -n kube-system exec <that pod> -c terway -- terway-cli ${command}`,
  ]
}
