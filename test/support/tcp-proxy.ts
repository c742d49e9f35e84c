// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** A TCP relay on 127.0.0.1 whose connections can be cut. */
export class TcpProxy {
  readonly port: number
  private readonly server: Server
  private readonly sockets: Set<Socket>
  private readonly state: { refusing: boolean; opened: number }

  private constructor(server: Server, port: number, sockets: Set<Socket>, state: { refusing: boolean; opened: number }) {
    this.server = server
    this.port = port
    this.sockets = sockets
    this.state = state
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const sockets = new Set<Socket>()
    const state = { refusing: false, opened: 0 }
    const server = createServer(down => {
      if (state.refusing) {
        down.resetAndDestroy()
        return
      }
      state.opened++
      const up = connect(targetPort, '127.0.0.1')
      for (const [from, to] of [
        [down, up],
        [up, down],
      ] as const) {
        sockets.add(from)
        from.on('error', () => to.destroy())
        from.on('close', () => {
          sockets.delete(from)
          to.destroy()
        })
        from.pipe(to)
      }
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
    return new TcpProxy(server, address.port, sockets, state)
  }

  /** Connections made since the start. */
  get opened(): number {
    return this.state.opened
  }

  /** Resets every connection; new ones are made as before. */
  cut(): void {
    for (const s of this.sockets) s.resetAndDestroy()
  }

  /** Until `false`, new connections are reset at once. */
  refuse(on: boolean): void {
    this.state.refusing = on
    if (on) this.cut()
  }

  async stop(): Promise<void> {
    this.server.close()
    this.cut()
    await once(this.server, 'close')
  }
}
