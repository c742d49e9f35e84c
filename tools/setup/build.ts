// SPDX-License-Identifier: Apache-2.0
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Component, root } from '../components.ts'
import { findGo } from './go.ts'
import { step } from './step.ts'

/** Builds a component from Go modules into `staging`. Kubernetes takes about 9 minutes of CPU, the others one to two each. */
export async function build(component: Component, staging: string): Promise<void> {
  const go = await findGo()
  const { build } = component
  const flags = ['-v', '-trimpath', '-buildvcs=false', '-ldflags', build.ldflags]
  const common = { progress: compiled, env: { ...go.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOFLAGS: '' } }
  const compile = (args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv }) =>
    step(`build ${component.name} ${component.version} from Go modules`, 'nice', ['-n', '10', go.program, ...args], {
      ...common,
      ...options,
      env: { ...common.env, ...options.env },
    })
  if (build.kind === 'module') {
    const binary = component.name
    await compile(['build', ...flags, '-o', join(staging, binary), '.'], { cwd: join(root, build.directory) })
    for (const program of component.programs) symlinkSync(binary, join(staging, program))
  } else {
    await compile(['install', ...flags, '-tags', build.tags, ...build.packages], { env: { GOBIN: staging } })
  }
}

/** `go build -v` prints the path of each package it compiles, and "go: downloading …" for each module it fetches. */
export function compiled(lines: readonly string[]): string {
  const downloads = lines.filter(line => line.startsWith('go: ')).length
  const packages = lines.length - downloads
  return packages === 0 ? `${downloads} modules downloaded` : `${packages} packages compiled`
}
