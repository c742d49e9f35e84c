// SPDX-License-Identifier: Apache-2.0
import { CommanderError } from 'commander'
import type { PodPlace } from '#cli/deps.ts'
import { makeProgram } from '#cli/program.ts'
import { stopped } from '#cli/stopped.ts'
import { makeMetadata } from '#cloud/metadata.ts'
import { switchPath } from '#config/datapath-switch.ts'
import { KubeClient } from '#kube/client.ts'
import { loadConfig } from '#kube/config.ts'
import { pods } from '#kube/reflect/pod.ts'
import { realClock } from '#lib/clock.ts'
import { AppError, isAppError, messageOf } from '#lib/errors.ts'
import { connect } from '#rpc/grpc/client.ts'

/** Where terway-policy of this node answers, unless TERWAY_POLICY_LISTEN says otherwise. */
const policyListen = '127.0.0.1:9130'

async function findPod(namespace: string, name: string): Promise<PodPlace | undefined> {
  const config = await loadConfig({ env: process.env })
  const kube = new KubeClient({ config, clock: realClock, reporter: { controller: 'terway-cli', instance: '' } })
  try {
    const pod = await kube.get(pods, name, namespace)
    if (pod === undefined) return undefined
    const { nodeName, hostNetwork } = pod.spec
    return { phase: pod.status?.phase ?? 'Pending', hostNetwork: hostNetwork === true, ...(nodeName !== undefined && { nodeName }) }
  } finally {
    await kube.close()
  }
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
  events: async () => (await import('#kernel/bpf/ring.ts')).openEvents(),
  stopped,
})
try {
  await program.parseAsync()
} catch (e) {
  if (!(e instanceof CommanderError)) process.stderr.write(`${messageOf(e)}\n`)
  process.exitCode = 1
}
