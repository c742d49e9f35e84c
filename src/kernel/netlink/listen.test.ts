// SPDX-License-Identifier: Apache-2.0
import { test } from 'node:test'
import { NetlinkListener } from './listen.ts'

test('a listener that is woken does not wait any longer, and can be closed', async () => {
  const listener = new NetlinkListener([], [], 3600n)
  for (let i = 0; i < 3; i++) {
    const waiting = listener.next(() => {})
    listener.wake()
    await waiting
  }
  listener.close()
})
