// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** Names each device that disappears from a namespace, until it is told to stop. */
export function watchGone(netns: string, gone: (dev: string) => void): () => void {
  const monitor = spawn('ip', ['-n', netns, '-o', 'monitor', 'link'], { stdio: ['ignore', 'pipe', 'inherit'] })
  createInterface(monitor.stdout).on('line', line => {
    const dev = /^Deleted \d+: ([^@:]+)/.exec(line)?.[1]
    if (dev !== undefined) gone(dev)
  })
  return () => monitor.kill('SIGKILL')
}
