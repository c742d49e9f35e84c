// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KubeConfig } from '#kube/config.ts'
import { createPki, issue, type Pki } from '../../lab/pki.ts'
import { binDir } from '../../tools/bin.ts'
import { freePort } from './free-port.ts'
import { until } from './until.ts'

/** Bearer tokens that the server knows: `admin` may do everything, `nobody` is authenticated but has only the rights that a test gives it. */
export const tokens = { admin: 'conformance-admin', nobody: 'conformance-nobody' } as const

/** A real kube-apiserver with its etcd, on loopback ports and in a directory of its own under the system's temporary one. */
export class ApiServer {
  readonly port: number
  readonly pki: Pki
  private readonly dir: string
  private readonly etcdPort: number
  private readonly etcd: ChildProcess
  private server: ChildProcess

  private constructor(o: { port: number; pki: Pki; dir: string; etcdPort: number; etcd: ChildProcess; server: ChildProcess }) {
    this.port = o.port
    this.pki = o.pki
    this.dir = o.dir
    this.etcdPort = o.etcdPort
    this.etcd = o.etcd
    this.server = o.server
  }

  static async start(): Promise<ApiServer> {
    const dir = mkdtempSync(join(tmpdir(), 'terway-kube-'))
    const [port, etcdPort, peerPort] = [await freePort(), await freePort(), await freePort()]
    const pki = await createPki(join(dir, 'pki'))
    await issue(pki, { name: 'apiserver', subject: '/CN=kube-apiserver', alternative: ['IP:127.0.0.1', 'DNS:localhost'] })
    await issue(pki, { name: 'admin', subject: '/O=system:masters/CN=admin', alternative: [] })
    writeFileSync(join(dir, 'tokens.csv'), `${tokens.admin},admin,1,system:masters\n${tokens.nobody},nobody,2\n`, { mode: 0o600 })
    const etcd = launch(dir, 'etcd', [
      `--data-dir=${join(dir, 'etcd')}`,
      '--unsafe-no-fsync',
      `--listen-client-urls=http://127.0.0.1:${etcdPort}`,
      `--advertise-client-urls=http://127.0.0.1:${etcdPort}`,
      `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peerPort}`,
      `--initial-cluster=default=http://127.0.0.1:${peerPort}`,
    ])
    const server = launchServer(dir, port, etcdPort)
    const api = new ApiServer({ port, pki, dir, etcdPort, etcd, server })
    await api.ready().catch(async e => {
      await api.stop()
      throw e
    })
    return api
  }

  get caFile(): string {
    return join(this.pki.dir, 'ca.crt')
  }

  /** `port`: that of a proxy in between. The token is written to a file of its own, so that a test may rotate it. */
  config(name: string, token: string = tokens.admin, port = this.port): KubeConfig & { readonly token: { readonly file: string } } {
    const file = join(this.dir, `${name}.token`)
    writeFileSync(file, token, { mode: 0o600 })
    return { servers: [`https://127.0.0.1:${port}`], ca: [{ file: this.caFile }], token: { file } }
  }

  /** Stops and starts the API server only; its watch cache begins anew, so older versions are too old for a watch. */
  async restart(): Promise<void> {
    await end(this.server)
    this.server = launchServer(this.dir, this.port, this.etcdPort)
    await this.ready()
  }

  async stop(): Promise<void> {
    await end(this.server)
    await end(this.etcd)
    rmSync(this.dir, { recursive: true, force: true })
  }

  private async ready(): Promise<void> {
    const { request, Agent } = await import('undici')
    const dispatcher = new Agent({ connect: { ca: readFileSync(this.caFile, 'utf8') } })
    const headers = { authorization: `Bearer ${tokens.admin}` }
    try {
      await until(async () => {
        if (this.server.exitCode !== null) throw new Error(`kube-apiserver ended: ${tail(join(this.dir, 'kube-apiserver.log'))}`)
        try {
          const { statusCode, body } = await request(`https://127.0.0.1:${this.port}/readyz`, { dispatcher, headers })
          await body.dump()
          return statusCode === 200
        } catch {
          return false
        }
      }, 'kube-apiserver is ready')
    } finally {
      await dispatcher.destroy()
    }
  }
}

function launchServer(dir: string, port: number, etcdPort: number): ChildProcess {
  const pki = (name: string) => join(dir, 'pki', name)
  return launch(dir, 'kube-apiserver', [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${port}`,
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=172.21.0.0/24',
    `--client-ca-file=${pki('ca.crt')}`,
    `--tls-cert-file=${pki('apiserver.crt')}`,
    `--tls-private-key-file=${pki('apiserver.key')}`,
    `--service-account-key-file=${pki('sa.pub')}`,
    `--service-account-signing-key-file=${pki('sa.key')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--token-auth-file=${join(dir, 'tokens.csv')}`,
    '--authorization-mode=RBAC',
    // Pods of the tests have no service account: no controller manager makes one.
    '--disable-admission-plugins=ServiceAccount',
    // The port is closed before requests in flight are waited for: a restart is quick.
    '--shutdown-delay-duration=0s',
  ])
}

/** setpriv (util-linux) makes it die with this process, however that ends. */
function launch(dir: string, program: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(dir, `${program}.log`), 'a')
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', join(binDir(), program), ...args], { cwd: dir, stdio: ['ignore', log, log] })
  closeSync(log)
  return child
}

/** A watch in progress would keep a server that is asked politely for a minute. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').split('\n').slice(-5).join('\n')
}
