// SPDX-License-Identifier: Apache-2.0

/** How a node forwards: by veth pairs and the host stack alone, or by programs past it. */
export type DatapathKind = 'veth' | 'v2'

/** Where `terway-cli datapath` writes what a person wants of this node. Survives a reboot. */
export const switchPath = '/var/lib/cni/terway/datapath'

/** What the file says: a kind, or nothing about it; and whether the programs are off whatever else is chosen. */
export interface DatapathSwitch {
  readonly kind?: DatapathKind
  readonly off: boolean
}

/** Reads the file's words: `v2` or `veth`, and `off`. A file that is not there says nothing; undefined for any other text. */
export function parseSwitch(text: string | undefined): DatapathSwitch | undefined {
  const words = (text ?? '').split(/\s+/).filter(word => word !== '')
  const kinds = words.filter(isKind)
  const [kind] = kinds
  const off = words.includes('off')
  if (kinds.length > 1 || words.length !== kinds.length + Number(off)) return undefined
  return { off, ...(kind !== undefined && { kind }) }
}

export function formatSwitch({ kind, off }: DatapathSwitch): string {
  return [kind, off ? 'off' : undefined].flatMap(word => (word === undefined ? [] : [`${word}\n`])).join('')
}

function isKind(word: string): word is DatapathKind {
  return word === 'v2' || word === 'veth'
}
