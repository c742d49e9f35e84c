// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { must } from '../sim/fabric/run.ts'

/** Certificates of one lab, made with the openssl program: `ca`, `sa` (token signing) and one pair per user or server. */
export interface Pki {
  readonly dir: string
}

/** `/O=group/CN=user` for clients, names and addresses for servers. */
export interface CertificateRequest {
  readonly name: string
  readonly subject: string
  /** subjectAltName entries: `DNS:x`, `IP:10.0.0.1`. */
  readonly alternative: readonly string[]
}

const DAYS = '365'
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export async function createPki(dir: string): Promise<Pki> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  if (!existsSync(join(dir, 'sa.pub'))) {
    await must([
      'openssl',
      'req',
      '-x509',
      ...KEY,
      '-days',
      DAYS,
      '-subj',
      '/CN=lab',
      '-keyout',
      join(dir, 'ca.key'),
      '-out',
      join(dir, 'ca.crt'),
    ])
    await must(['openssl', 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', join(dir, 'sa.key')])
    await must(['openssl', 'pkey', '-in', join(dir, 'sa.key'), '-pubout', '-out', join(dir, 'sa.pub')])
  }
  return { dir }
}

/** Writes `<name>.crt` and `<name>.key`, signed by the lab's CA. */
export async function issue(pki: Pki, request: CertificateRequest): Promise<void> {
  const [crt, key] = [join(pki.dir, `${request.name}.crt`), join(pki.dir, `${request.name}.key`)]
  const alternative = request.alternative.length > 0 ? ['-addext', `subjectAltName=${request.alternative.join(',')}`] : []
  const ca = ['-CA', join(pki.dir, 'ca.crt'), '-CAkey', join(pki.dir, 'ca.key')]
  await must([
    'openssl',
    'req',
    '-x509',
    ...ca,
    ...KEY,
    '-days',
    DAYS,
    '-subj',
    request.subject,
    ...alternative,
    '-keyout',
    key,
    '-out',
    crt,
  ])
}

/** Writes `<name>.kubeconfig` with the certificate of the same name inside; returns its path. */
export function writeKubeconfig(pki: Pki, name: string, server: string, path = join(pki.dir, `${name}.kubeconfig`)): string {
  const data = (file: string) => readFileSync(join(pki.dir, file)).toString('base64')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'lab',
    clusters: [{ name: 'lab', cluster: { server, 'certificate-authority-data': data('ca.crt') } }],
    users: [{ name, user: { 'client-certificate-data': data(`${name}.crt`), 'client-key-data': data(`${name}.key`) } }],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user: name } }],
  }
  writeFileSync(path, JSON.stringify(config, null, 1), { mode: 0o600 })
  return path
}
