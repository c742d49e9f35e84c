// SPDX-License-Identifier: Apache-2.0

/** A first look that finds it over may have been late: the next one is made sooner by this share. */
const sooner = 0.03

/** How long the cloud usually takes for something, in milliseconds: a guess first, then learned from when looks found it over. */
export class Usual {
  #ms: number

  constructor(guess: number) {
    this.#ms = guess
  }

  get ms(): number {
    return this.#ms
  }

  /** It was over at last. `longer`: how long it took at least, when the first look was too early. */
  learn(longer: number | undefined): void {
    const ms = longer ?? this.#ms * (1 - sooner)
    // One that takes long is no reason to look late at the next.
    this.#ms = ms > this.#ms ? (this.#ms + ms) / 2 : ms
  }
}

/** What the controller waits for on its way to an ENI in use; one for all nodes. */
export interface UsualTimes {
  readonly creating: Usual
  readonly attaching: Usual
}

export function usualTimes(): UsualTimes {
  return { creating: new Usual(300), attaching: new Usual(1_000) }
}
