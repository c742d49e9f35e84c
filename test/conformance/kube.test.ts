// SPDX-License-Identifier: Apache-2.0
import { realClock } from '#lib/clock.ts'
import { KubeModel } from '../support/kube-model.ts'
import { kubeSuite } from './kube-cases.ts'
import { startRealWorld } from './kube-real.ts'

kubeSuite('the model', async () => {
  const model = new KubeModel(realClock)
  model.faults.reconnectDelay = () => 50
  const names: string[] = []
  const all = (away: boolean) => {
    for (const name of names) model.faults.unavailable(away, name)
  }
  return {
    client: () => model.client(`client-${names.push(`client-${names.length + 1}`)}`),
    admin: model.client('admin'),
    disconnect: () => model.faults.disconnect(),
    away: () => {
      all(true)
      return () => all(false)
    },
    expire: async () => model.faults.compact(),
    stop: async () => undefined,
  }
})

kubeSuite('a real kube-apiserver', startRealWorld)
