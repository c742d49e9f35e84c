// SPDX-License-Identifier: Apache-2.0
import { images } from '../deploy/image/build.ts'
import { labApp, pause } from '../deploy/image/list.ts'
import { binDir } from '../tools/bin.ts'
import type { Image } from './images.ts'
import type { UpOptions } from './up.ts'

/** What `up` takes when nothing else is said: the built binaries, and all images of the project, made from the checkout as it is. */
export async function defaultOptions(wanted: Partial<UpOptions>): Promise<UpOptions> {
  return {
    nodes: 1,
    instanceType: 'ecs.g7.xlarge',
    vSwitchIds: [],
    stack: 'ipv4',
    bin: wanted.bin ?? binDir(),
    images: wanted.images ?? (await images()),
    pauseImage: pause.ref,
  }
}

/** The images that have nothing to do with Terway: for tests of the lab itself. */
export function labImages(): Promise<readonly Image[]> {
  return images([pause, labApp])
}
