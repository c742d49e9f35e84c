// SPDX-License-Identifier: Apache-2.0

export interface Tree {
  readonly text: string
  readonly children?: readonly Tree[]
}

/** One line per node, branches drawn in front: `├─ a`, `│  └─ b`. */
export function treeLines(roots: readonly Tree[]): string[] {
  return roots.flatMap(root => [root.text, ...branches(root.children ?? [], '')])
}

function branches(children: readonly Tree[], indent: string): string[] {
  return children.flatMap((child, i) => {
    const last = i === children.length - 1
    const own = `${indent}${last ? '└─ ' : '├─ '}${child.text}`
    return [own, ...branches(child.children ?? [], indent + (last ? '   ' : '│  '))]
  })
}

/** Keys such as `pods/default/web-0/resources` become nested nodes, each value hangs on its last part; keys are sorted. */
export function treeOfKeys(entries: readonly { readonly key: string; readonly value: string }[]): Tree[] {
  interface Node {
    values: string[]
    parts: Map<string, Node>
  }
  const root: Node = { values: [], parts: new Map() }
  for (const { key, value } of entries) {
    let at = root
    for (const part of key.split('/')) {
      const next = at.parts.get(part) ?? { values: [], parts: new Map() }
      at.parts.set(part, next)
      at = next
    }
    at.values.push(value)
  }
  const grow = (node: Node): Tree[] =>
    [...node.parts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([part, child]) => ({
        text: child.values.length === 0 ? part : `${part}: ${child.values.join(', ')}`,
        children: grow(child),
      }))
  return grow(root)
}
