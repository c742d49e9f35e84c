// SPDX-License-Identifier: Apache-2.0
import { type CliDeps, withDaemon } from '#cli/deps.ts'

/** Runs a command of a traced resource in the daemon and prints its output as it comes. */
export async function execute(
  deps: CliDeps,
  socket: string,
  r: { type: string; name: string; command: string; args: readonly string[] },
): Promise<void> {
  await withDaemon(deps, socket, async daemon => {
    for await (const line of daemon.execute({ Type: r.type, Name: r.name, Command: r.command, Args: r.args })) deps.out(line)
  })
}
