// SPDX-License-Identifier: Apache-2.0
import { type CliDeps, withDaemon } from '#cli/deps.ts'
import { treeLines, treeOfKeys } from '#cli/tree.ts'
import { AppError } from '#lib/errors.ts'

/** Configuration and trace of one resource as a tree; without a name, of the type's first resource. */
export async function show(deps: CliDeps, socket: string, type: string, name: string | undefined): Promise<void> {
  await withDaemon(deps, socket, async daemon => {
    const wanted = name ?? (await daemon.names(type))[0]
    if (wanted === undefined) throw new AppError('no-resource', `no resource of type ${type}; \`list\` shows the types`)
    const config = await daemon.config({ Type: type, Name: wanted })
    const trace = await daemon.trace({ Type: type, Name: wanted })
    const entries = [...config, ...trace].map(({ Key, Value }) => ({ key: Key, value: Value }))
    for (const line of treeLines([{ text: `${type}/${wanted}`, children: treeOfKeys(entries) }])) deps.out(line)
  })
}
