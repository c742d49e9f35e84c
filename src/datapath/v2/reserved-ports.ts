// SPDX-License-Identifier: Apache-2.0

/** First and last. */
type Ports = readonly [first: number, last: number]

/** Which ports the kernel gives to no socket by itself: single ones and ranges, `8080,61000-65535`. */
export const reservedPortsKey = 'net/ipv4/ip_local_reserved_ports'

/** The same with this range, the same text where it has the range already. */
export function withPorts(text: string, range: Ports): string {
  const all = merged([...parse(text), range])
  return covers(parse(text), range) ? text : format(all)
}

/** The same without this range; what overlaps it loses that part. */
export function withoutPorts(text: string, [first, last]: Ports): string {
  const there = parse(text)
  if (!there.some(([a, b]) => a <= last && b >= first)) return text
  return format(there.flatMap(([a, b]): Ports[] => [...rest(a, Math.min(b, first - 1)), ...rest(Math.max(a, last + 1), b)]))
}

function rest(first: number, last: number): Ports[] {
  return first <= last ? [[first, last]] : []
}

function covers(ranges: readonly Ports[], [first, last]: Ports): boolean {
  return merged(ranges).some(([a, b]) => a <= first && last <= b)
}

function merged(ranges: readonly Ports[]): Ports[] {
  const all: Ports[] = []
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const before = all.at(-1)
    if (before !== undefined && first <= before[1] + 1) all[all.length - 1] = [before[0], Math.max(before[1], last)]
    else all.push([first, last])
  }
  return all
}

function parse(text: string): Ports[] {
  return text.split(',').flatMap((part): Ports[] => {
    const [, first, last = first] = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part) ?? []
    return first === undefined ? [] : [[Number(first), Number(last)]]
  })
}

function format(ranges: readonly Ports[]): string {
  const text = ranges.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(',')
  // The kernel takes a line, and an empty text is nothing that could be written.
  return text === '' ? '\n' : text
}
