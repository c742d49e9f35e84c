// SPDX-License-Identifier: Apache-2.0

/** Pictures without a library: readable on a light and on a dark page, since their colours follow the reader's preference. */

export const width = 720
const left = 205
const right = 90
const barHeight = 16

const style = `text{font:12px system-ui,sans-serif;fill:#333}.title{font-weight:600}.axis{stroke:#999;stroke-width:1}.goal{stroke:#c33;stroke-dasharray:4 3}
.c0{fill:#2a6fbb;stroke:#2a6fbb}.c1{fill:#999;stroke:#999}.c2{fill:#5aa469;stroke:#5aa469}.c3{fill:#d98e32;stroke:#d98e32}.c4{fill:#8a63b0;stroke:#8a63b0}
.c5{fill:#c0565b;stroke:#c0565b}.p0{fill:#1f5793}.p1{fill:#3f8ad6}.p2{fill:#8fc1f0}.p3{fill:#8a63b0}.p4{fill:#5aa469}
.p5{fill:#d98e32}.p6{fill:#b9b9b9}.p7{fill:#8a8a8a}.p8{fill:#d6d6d6}.line{fill:none;stroke-width:2}.whisker{stroke:#333;stroke-width:1}
@media (prefers-color-scheme:dark){text{fill:#ddd}.axis{stroke:#777}.whisker{stroke:#ddd}.goal{stroke:#f77}.c0{fill:#5c9ee6;stroke:#5c9ee6}.c1{fill:#888;stroke:#888}}`

/** A part of a picture, without elements when there is nothing to show: its height, and its elements with the origin at its own top left corner. */
export interface Panel {
  readonly height: number
  readonly elements: readonly string[]
}

/** Panels one below the other, as a file. */
export function svg(panels: readonly Panel[]): string {
  let y = 10
  const parts: string[] = []
  for (const { height, elements } of panels) {
    parts.push(`<g transform="translate(0 ${y})">`, ...elements, '</g>')
    y += height + 18
  }
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}" role="img">`
  return `${[head, `<style>${style}</style>`, ...parts, '</svg>'].join('\n')}\n`
}

export interface Bar {
  readonly label: string
  readonly value: number
  readonly spread?: readonly [number, number]
  /** 0…5. Bars that are to be compared have different ones. */
  readonly color: number
  /** Drawn as a line across the bar. */
  readonly goal?: number
}

/** Bars with their values on a common scale; whiskers show the spread, cut off at the panel's edge. A line across all of them is at `mark`. */
export function bars(title: string, unit: string, items: readonly Bar[], mark?: number): Panel {
  if (items.length === 0) return { height: 0, elements: [] }
  const most = Math.max(...items.flatMap(b => [b.value * 1.1, b.goal ?? 0, Math.min(b.spread?.[1] ?? 0, b.value * 1.6)]), mark ?? 0, 1e-9)
  const x = (value: number) => left + (Math.min(value, most) / most) * (width - left - right)
  const elements = [text(0, 12, title, 'title')]
  for (const [i, { label, value, spread, color, goal }] of items.entries()) {
    const y = 22 + i * (barHeight + 6)
    const middle = y + barHeight / 2
    elements.push(text(left - 8, y + 12, label, '', 'end'))
    elements.push(`<rect class="c${color}" x="${left}" y="${y}" width="${round(Math.max(x(value) - left, 1))}" height="${barHeight}"/>`)
    if (spread !== undefined) elements.push(line([x(spread[0]), middle], [x(spread[1]), middle], 'whisker'))
    if (goal !== undefined) elements.push(line([x(goal), y - 2], [x(goal), y + barHeight + 2], 'goal'))
    elements.push(text(x(Math.max(value, spread?.[1] ?? 0)) + 6, y + 12, `${value} ${unit}`))
  }
  if (mark !== undefined) elements.push(line([x(mark), 18], [x(mark), 18 + items.length * (barHeight + 6)], 'axis'))
  return { height: 22 + items.length * (barHeight + 6), elements }
}

/** Bars in parts on a common scale, with a legend where `parts` names them in the order of `values`. */
export function stacks(
  title: string,
  unit: string,
  parts: readonly string[],
  items: readonly { readonly label: string; readonly values: readonly number[] }[],
): Panel {
  const totals = items.map(({ values }) => values.reduce((sum, v) => sum + v, 0))
  const most = Math.max(...totals, 0)
  if (most === 0) return { height: 0, elements: [] }
  const elements = [text(0, 12, title, 'title')]
  for (const [i, { label, values }] of items.entries()) {
    const y = 22 + i * (barHeight + 6)
    elements.push(text(left - 8, y + 12, label, '', 'end'))
    let at = left
    for (const [p, value] of values.entries()) {
      const size = (value / most) * (width - left - right)
      elements.push(`<rect class="p${p}" x="${round(at)}" y="${y}" width="${round(size)}" height="${barHeight}"/>`)
      at += size
    }
    elements.push(text(at + 6, y + 12, `${Number((totals[i] ?? 0).toPrecision(3))} ${unit}`))
  }
  const below = 30 + items.length * (barHeight + 6)
  for (const [p, name] of parts.entries()) {
    const [x, y] = [(p % 3) * 240, below + Math.floor(p / 3) * 18]
    elements.push(`<rect class="p${p}" x="${x}" y="${y}" width="10" height="10"/>`, text(x + 16, y + 9, name))
  }
  return { height: parts.length === 0 ? below - 8 : below + Math.ceil(parts.length / 3) * 18, elements }
}

/** One bar in parts, with a legend. */
export function stack(title: string, unit: string, parts: readonly { readonly label: string; readonly value: number }[]): Panel {
  const total = parts.reduce((sum, p) => sum + p.value, 0)
  if (total === 0) return { height: 0, elements: [] }
  const elements = [text(0, 12, title, 'title')]
  let at = 0
  for (const [i, { label, value }] of parts.entries()) {
    const size = (value / total) * width
    elements.push(`<rect class="c${i % 6}" x="${round(at)}" y="20" width="${round(size)}" height="24"/>`)
    elements.push(`<rect class="c${i % 6}" x="${(i % 3) * 240}" y="${54 + Math.floor(i / 3) * 18}" width="10" height="10"/>`)
    elements.push(text((i % 3) * 240 + 16, 63 + Math.floor(i / 3) * 18, `${label}: ${Number(value.toPrecision(3))} ${unit}`))
    at += size
  }
  return { height: 54 + Math.ceil(parts.length / 3) * 18, elements }
}

export interface Curve {
  readonly name: string
  readonly points: readonly (readonly [number, number])[]
}

/** Curves over a common scale that begins at 0. */
export function curves(title: string, axes: { readonly x: string; readonly y: string }, items: readonly Curve[]): Panel {
  const [x0, y0, w, h] = [50, 170, width - 150, 140]
  const all = items.flatMap(c => c.points)
  const [mostX, mostY] = [Math.max(...all.map(p => p[0]), 1), Math.max(...all.map(p => p[1]), 1) * 1.1]
  const at = ([x, y]: readonly [number, number]): readonly [number, number] => [x0 + (x / mostX) * w, y0 - (y / mostY) * h]
  const elements = [text(0, 12, title, 'title'), line([x0, y0], [x0 + w, y0], 'axis'), line([x0, y0], [x0, y0 - h], 'axis')]
  elements.push(text(x0 + w, y0 + 16, `${mostX} ${axes.x}`, '', 'end'), text(x0 - 6, y0, '0', '', 'end'))
  elements.push(text(x0 - 6, y0 - h + 10, String(Math.round(mostY)), '', 'end'), text(x0 + 4, y0 - h + 10, axes.y))
  for (const [i, { name, points }] of items.entries()) {
    elements.push(`<polyline class="line c${i}" style="fill:none" points="${points.map(p => at(p).map(round).join(',')).join(' ')}"/>`)
    const last = points.at(-1)
    if (last !== undefined) elements.push(text(at(last)[0] + 6, at(last)[1] + 4, name))
  }
  return { height: y0 + 20, elements }
}

function line([x1, y1]: readonly [number, number], [x2, y2]: readonly [number, number], kind: string): string {
  return `<line class="${kind}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`
}

function text(x: number, y: number, content: string, kind = '', anchor = 'start'): string {
  const escaped = content.replace(/&/g, '&amp;').replace(/</g, '&lt;')
  return `<text x="${round(x)}" y="${round(y)}"${kind === '' ? '' : ` class="${kind}"`}${anchor === 'start' ? '' : ` text-anchor="${anchor}"`}>${escaped}</text>`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
