// SPDX-License-Identifier: Apache-2.0
import { makeKernel } from '#kernel/kernel.ts'
import type { Kernel } from '#kernel/port.ts'
import { kindNames, kindOf } from './cells.ts'
import type { Pairs } from './proof.ts'
import { netnsFile } from './world.ts'

/** What terwayd does each minute for the programs of a node: it looks through the table of flows, and new ones get credits for their places in it. */
export class Surveyor {
  readonly #kernels: readonly Kernel[]

  private constructor(kernels: readonly Kernel[]) {
    this.#kernels = kernels
  }

  static async of(pairs: Pairs): Promise<Surveyor> {
    const nodes = kindNames.filter(kind => kindOf(kind).programs === 'v2').flatMap(kind => pairs[kind])
    return new Surveyor(await Promise.all(nodes.map(({ node, pins }) => makeKernel({ hostNetns: netnsFile(node.name), pins }))))
  }

  async survey(): Promise<void> {
    await Promise.all(this.#kernels.map(kernel => kernel.surveyFlows('flows')))
  }

  async close(): Promise<void> {
    for (const kernel of this.#kernels) await kernel.close()
  }
}
