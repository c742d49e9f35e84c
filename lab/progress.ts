// SPDX-License-Identifier: Apache-2.0

/** Tells a person what is going on, one line per step with its duration. */
export interface Progress {
  step<T>(what: string, work: () => Promise<T>): Promise<T>
}

export function printProgress(write: (line: string) => void = line => console.log(line)): Progress {
  const start = performance.now()
  return {
    async step(what, work) {
      const began = performance.now()
      const answer = await work()
      const now = performance.now()
      write(`${seconds(now - start).padStart(6)}  ${what.padEnd(44)} ${seconds(now - began)}`)
      return answer
    },
  }
}

export const silent: Progress = { step: (_, work) => work() }

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`
}
