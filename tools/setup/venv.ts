// SPDX-License-Identifier: Apache-2.0
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDir } from '../bin.ts'
import { step } from './step.ts'

/** Its presence says that everything is in. */
const stamp = '.complete'

/** The official gRPC for Python: a client of another implementation that the tests let talk to our server. */
export const grpcVenv = { path: () => join(cacheDir(), 'grpc-venv'), packages: ['grpcio==1.76.0', 'grpcio-tools==1.76.0'] }

export const complete = (venv: string) => existsSync(join(venv, stamp))

/** A Python venv with these wheels, whole or not at all. It cannot be made elsewhere and renamed: a venv holds its own path. */
export async function makeVenv(venv: string, packages: readonly string[]): Promise<void> {
  if (complete(venv)) return
  rmSync(venv, { recursive: true, force: true })
  await step(`make a Python venv in ${venv}`, 'python3', ['-m', 'venv', venv])
  await step(`install ${packages.join(' ')} from PyPI`, join(venv, 'bin', 'pip'), ['install', '--only-binary', ':all:', ...packages])
  writeFileSync(join(venv, stamp), '')
}
