// SPDX-License-Identifier: Apache-2.0
import { CommanderError } from 'commander'
import type { PodPlace } from '#cli/deps.ts'
import { makeProgram } from '#cli/program.ts'
import { stopped } from '#cli/stopped.ts'
import { makeMetadata } from '#cloud/metadata.ts'
import { switchPath } from '#config/datapath-switch.ts'
import { KubeClient } from '#kube/client.ts'
import { loadConfig } from '#kube/config.ts'
import { nodes } from '#kube/reflect/node.ts'
import { pods } from '#kube/reflect/pod.ts'
import { services } from '#kube/reflect/service.ts'
import { realClock } from '#lib/clock.ts'
import { AppError, isAppError, messageOf } from '#lib/errors.ts'
import { withPort } from '#net/ip.ts'
import { connect } from '#rpc/grpc/client.ts'

/** Where terway-policy of this node answers, unless TERWAY_POLICY_LISTEN says otherwise. */
const policyListen = '127.0.0.1:9130'

async function askKube<T>(fn: (kube: KubeClient) => Promise<T>): Promise<T> {
  const config = await loadConfig({ env: process.env })
  const kube = new KubeClient({ config, clock: realClock, reporter: { controller: 'terway-cli', instance: '' } })
  try {
    return await fn(kube)
  } finally {
    await kube.close()
  }
}

async function findPod(namespace: string, name: string): Promise<PodPlace | undefined> {
  const pod = await askKube(kube => kube.get(pods, name, namespace))
  if (pod === undefined) return undefined
  const { nodeName, hostNetwork } = pod.spec
  const { phase = 'Pending', podIP, podIPs = [{ ip: podIP }] } = pod.status ?? {}
  const ips = podIPs.flatMap(({ ip }) => ip ?? [])
  return { phase, hostNetwork: hostNetwork === true, ips, ...(nodeName !== undefined && { nodeName }) }
}

async function findService(namespace: string, name: string): Promise<readonly string[] | undefined> {
  const service = await askKube(kube => kube.get(services, name, namespace))
  if (service === undefined) return undefined
  const { clusterIP = '', clusterIPs = [clusterIP], ports = [] } = service.spec
  const ips = clusterIPs.filter(ip => ip !== '' && ip !== 'None')
  return ips.flatMap(ip => ports.map(({ port, protocol = 'TCP' }) => `${withPort(ip, port)}/${protocol}`))
}

async function findNode(name: string): Promise<readonly string[] | undefined> {
  const node = await askKube(kube => kube.get(nodes, name))
  return node?.status?.addresses?.flatMap(({ type, address }) => (type === 'InternalIP' ? [address] : [])) ?? (node && [])
}

async function askPolicy(path: string): Promise<unknown> {
  const url = `http://${process.env.TERWAY_POLICY_LISTEN || policyListen}${path}`
  try {
    const reply = await fetch(url, { signal: AbortSignal.timeout(30_000) })
    if (!reply.ok) throw new AppError('policy-unreachable', `${url}: ${reply.status} ${await reply.text()}`)
    return await reply.json()
  } catch (e) {
    if (isAppError(e)) throw e
    throw new AppError(
      'policy-unreachable',
      `terway-policy does not answer at ${url} (it runs where Services are without kube-proxy): ${messageOf(e)}`,
    )
  }
}

const program = makeProgram({
  out: line => process.stdout.write(`${line}\n`),
  connect,
  metadata: () => makeMetadata(realClock, process.env.ALIBABA_CLOUD_IMDS_ENDPOINT || undefined),
  // Native code is loaded only for the commands that need it.
  kernel: async () => (await import('#kernel/kernel.ts')).makeKernel(),
  policy: askPolicy,
  switchPath,
  findPod,
  findService,
  findNode,
  events: async () => (await import('#kernel/bpf/ring.ts')).openEvents(),
  stopped,
})
try {
  await program.parseAsync()
} catch (e) {
  if (!(e instanceof CommanderError)) process.stderr.write(`error: ${messageOf(e)}\n`)
  process.exitCode = 1
}
