// SPDX-License-Identifier: Apache-2.0

/** Armed by tests only: the name of the point at which the process must die as if power were lost. */
const armed = process.env.TERWAY_CRASH_AT

/**
 * Marks the boundary between two steps whose order crash safety depends on. Does nothing, unless a test armed this name:
 * then the process kills itself at once, without any clean-up.
 */
export function crashPoint(name: string): void {
  if (armed === name) process.kill(process.pid, 'SIGKILL')
}
