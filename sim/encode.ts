// SPDX-License-Identifier: Apache-2.0

export type Format = 'json' | 'xml'

/** A reply body as the caller asked for it. `root` names the XML element; JSON has none. */
export function encode(format: Format, root: string, body: object): string {
  return format === 'json' ? JSON.stringify(body) : `<?xml version='1.0' encoding='UTF-8'?>${element(root, body)}`
}

/** Objects become elements, arrays repeat their element: `{A: {B: [1, 2]}}` is `<A><B>1</B><B>2</B></A>`. */
function element(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map(item => element(name, item)).join('')
  if (value === undefined || value === null) return ''
  const inner =
    typeof value === 'object'
      ? Object.entries(value)
          .map(([key, child]) => element(key, child))
          .join('')
      : escapeXml(String(value))
  return `<${name}>${inner}</${name}>`
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`)
}
