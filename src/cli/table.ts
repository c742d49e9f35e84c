// SPDX-License-Identifier: Apache-2.0

/** Rows below a heading, each column as wide as its longest cell; numbers stand to the right. */
export function tableLines(heading: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [heading, ...rows]
  const widths = heading.map((_, i) => Math.max(...all.map(row => row[i]?.length ?? 0)))
  const isNumber = heading.map((_, i) => rows.length > 0 && rows.every(row => /^\d+(\.\d+)?%?$/.test(row[i] ?? '')))
  const cell = (text: string, i: number) => (isNumber[i] ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0))
  return all.map(row => row.map(cell).join('  ').trimEnd())
}
