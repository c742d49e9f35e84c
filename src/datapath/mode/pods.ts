// SPDX-License-Identifier: Apache-2.0
import type { Look } from '#datapath/apply.ts'
import type { Attachment } from '#datapath/attachment.ts'
import { ExclusivePods } from '#datapath/mode/exclusive-pods.ts'
import type { Found, PodMode, PodPrograms, Verdict } from '#datapath/mode/pod-mode.ts'
import { SharedPods } from '#datapath/mode/shared-pods.ts'
import type { KernelOp } from '#kernel/op.ts'
import type { Kernel } from '#kernel/port.ts'
import { unreachable } from '#lib/errors.ts'
import type { Mac } from '#net/mac.ts'

/** Pods of every kind: each is left to its mode. */
export class Pods implements PodMode<Attachment> {
  readonly #shared: SharedPods
  readonly #exclusive: ExclusivePods

  constructor(kernel: Kernel, programs: () => PodPrograms | undefined, live: () => readonly Attachment[]) {
    this.#shared = new SharedPods(kernel, programs)
    this.#exclusive = new ExclusivePods(kernel, programs, live)
  }

  /** Shared ENIs by number of their devices. */
  get enis(): ReadonlyMap<number, Mac> {
    return this.#shared.enis
  }

  look(a: Attachment): Promise<Look<Found>> {
    switch (a.kind) {
      case 'shared-eni':
        return this.#shared.look(a)
      case 'exclusive-eni':
        return this.#exclusive.look(a)
      default:
        return unreachable(a)
    }
  }

  async compare(some: readonly Attachment[]): Promise<readonly Verdict[]> {
    const [shared, exclusive] = [some.filter(a => a.kind === 'shared-eni'), some.filter(a => a.kind === 'exclusive-eni')]
    return [
      ...(shared.length === 0 ? [] : await this.#shared.compare(shared)),
      ...(exclusive.length === 0 ? [] : await this.#exclusive.compare(exclusive)),
    ]
  }

  withdrawal(a: Attachment): Promise<readonly KernelOp[]> {
    switch (a.kind) {
      case 'shared-eni':
        return this.#shared.withdrawal(a)
      case 'exclusive-eni':
        return this.#exclusive.withdrawal(a)
      default:
        return unreachable(a)
    }
  }
}
