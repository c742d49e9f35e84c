// SPDX-License-Identifier: Apache-2.0
import { existsSync, statSync } from 'node:fs'
import { type BuiltImage, images } from '../../deploy/image/build.ts'
import { allImages, terway } from '../../deploy/image/list.ts'
import { binDir } from '../../tools/bin.ts'
import { Lab } from '../lab.ts'
import { namesOf } from '../names.ts'
import type { Options } from './demo.ts'
import { type Report, seconds } from './report.ts'

/** Builds the images from this checkout, says where Kubernetes comes from, and removes an earlier demo. */
export async function prepare(report: Report, options: Options): Promise<readonly BuiltImage[]> {
  report.say(`Kubernetes, containerd and helm from ${binDir()} (made once by 'make setup')`)
  const begun = performance.now()
  const built = await images(allImages)
  for (const { ref, path } of built) report.say(`${ref.padEnd(22)} ${Math.round(statSync(path).size / 1e6)} MB`)
  report.say(`bundles and images from this checkout: ${seconds(performance.now() - begun)}`)
  if (existsSync(namesOf(options.name).dir)) {
    const removing = performance.now()
    await Lab.down(options.name)
    report.say(`the earlier lab ${options.name} is removed: ${seconds(performance.now() - removing)}`)
  }
  await report.check(`the image ${terway.ref} is there`, () => {
    if (!built.some(image => image.ref === terway.ref)) throw new Error('deploy/image did not build it')
    return undefined
  })
  return built
}
