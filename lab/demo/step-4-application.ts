// SPDX-License-Identifier: Apache-2.0
import { labApp } from '../../deploy/image/list.ts'
import { isReady, podsOf } from '../pods.ts'
import { until } from '../process.ts'
import { type Demo, settings } from './demo.ts'
import { seconds } from './report.ts'

/** A Deployment spread over the nodes and probed there, a Service before it, and a pod on its node's own network. */
export async function startApplication({ lab, report, options }: Demo): Promise<void> {
  const begun = performance.now()
  await lab.kubectl(
    ['apply', '-f', '-'],
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [deployment(options.pods), service, onHost] }),
  )
  const started = await report.check(`${options.pods} pods of the Deployment web, and one on its node's network, are Ready`, async () => {
    let last = 'none'
    await until(
      'pods Ready',
      90_000,
      async () => {
        const pods = [...(await podsOf(lab, 'app=web')), ...(await podsOf(lab, 'app=on-host'))]
        const count = pods.filter(isReady).length
        last = `${count} of ${options.pods + 1}`
        return count === options.pods + 1
      },
      250,
    ).catch(cause => {
      throw new Error(`only ${last} after 90 s; ask: lab kubectl describe pod, terway-cli why <namespace>/<pod>`, { cause })
    })
    return `${last}, ${seconds(performance.now() - begun)} after they were created`
  })
  if (!started) throw new Error('the application does not run; nothing after this would prove anything')
}

const container = (name: string, port: number) => ({
  name,
  image: labApp.ref,
  imagePullPolicy: 'Never',
  env: [{ name: 'PORT', value: String(port) }],
})

/**
 * Asked by the kubelet from the node's own network: a pod is Ready once it has answered. A readiness probe would go on while a pod
 * ends, and its failure then say nothing.
 */
const probe = { httpGet: { path: '/', port: settings.appPort }, timeoutSeconds: 5, failureThreshold: 30 }
const probes = { startupProbe: { ...probe, periodSeconds: 1 }, livenessProbe: { ...probe, periodSeconds: 5 } }

/** In one container: on a small machine the start of each costs as much as everything of Terway's for the pod. */
const bothPorts = `PORT=${settings.closedPort} app & exec app`

function deployment(replicas: number): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: {
          terminationGracePeriodSeconds: 1,
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: 'kubernetes.io/hostname',
              whenUnsatisfiable: 'DoNotSchedule',
              labelSelector: { matchLabels: { app: 'web' } },
            },
          ],
          containers: [{ ...container('web', settings.appPort), ...probes, command: ['sh', '-c', bothPorts] }],
        },
      },
    },
  }
}

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'default' },
  spec: { ipFamilyPolicy: 'PreferDualStack', selector: { app: 'web' }, ports: [{ port: 80, targetPort: settings.appPort }] },
}

const onHost = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'on-host', namespace: 'default', labels: { app: 'on-host' } },
  spec: { hostNetwork: true, terminationGracePeriodSeconds: 1, containers: [container('on-host', settings.hostPort)] },
}
