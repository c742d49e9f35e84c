// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { images } from '../deploy/image/build.ts'
import { labApp, pause, terway } from '../deploy/image/list.ts'
import { binDir } from '../tools/bin.ts'
import type { UpOptions } from './up.ts'

/** What `up` takes when nothing else is said: the built binaries, the lab's images, and Terway's when it has been built. */
export async function defaultOptions(wanted: Partial<UpOptions>): Promise<UpOptions> {
  const built = existsSync(join(import.meta.dirname, '..', 'dist', 'terwayd.mjs'))
  return {
    nodes: 1,
    instanceType: 'ecs.g7.xlarge',
    ipv6: false,
    bin: wanted.bin ?? binDir(),
    images: wanted.images ?? (await images(built ? [pause, labApp, terway] : [pause, labApp])),
    pauseImage: pause.ref,
  }
}
