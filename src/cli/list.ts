// SPDX-License-Identifier: Apache-2.0
import { type CliDeps, withDaemon } from '#cli/deps.ts'

/** The types of resources that the daemon traces, or the names of one type, as a bullet list. */
export async function list(deps: CliDeps, socket: string, type: string | undefined): Promise<void> {
  const names = await withDaemon(deps, socket, daemon => (type === undefined ? daemon.types() : daemon.names(type)))
  for (const name of names) deps.out(`• ${name}`)
}
