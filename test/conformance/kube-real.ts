// SPDX-License-Identifier: Apache-2.0
import { KubeClient } from '#kube/client.ts'
import { definitions } from '#kube/crd/definitions.ts'
import { crds, installCrds } from '#kube/install-crds.ts'
import { realClock } from '#lib/clock.ts'
import { ApiServer } from '../support/apiserver.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { anyThings, thingsCrd, type World } from './kube-world.ts'

const reporter = { controller: 'conformance', instance: 'test' }

/** A kube-apiserver with our CRDs, reached through a proxy that can be cut. */
export async function startRealWorld(): Promise<World> {
  const api = await ApiServer.start()
  const proxy = await TcpProxy.start(api.port)
  const clients: KubeClient[] = []
  const make = (port: number) => {
    const client = new KubeClient({ config: api.config(`client-${clients.length}`, undefined, port), clock: realClock, reporter })
    clients.push(client)
    return client
  }
  const direct = make(api.port)
  await installCrds(direct, realClock, definitions)
  await direct.create(crds, thingsCrd)
  await until(async () => (await direct.list(anyThings).catch(() => undefined)) !== undefined)
  return {
    client: () => make(proxy.port),
    admin: direct,
    disconnect: () => proxy.cut(),
    away: () => {
      proxy.refuse(true)
      return () => proxy.refuse(false)
    },
    expire: () => api.restart(),
    stop: async () => {
      await Promise.all(clients.map(c => c.close()))
      await proxy.stop()
      await api.stop()
    },
  }
}
