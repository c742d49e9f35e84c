// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { Compile } from 'typebox/compile'
import { parse } from 'yaml'
import { type Block, contains, lastAddress, parseBlock } from './model/address.ts'
import { type Seed, seedSchema } from './seed-schema.ts'

const compiled = Compile(seedSchema)

/** A seed that cannot be used: one line per fault, each with the path of its field. */
export class SeedError extends Error {
  readonly problems: readonly string[]

  constructor(name: string, problems: readonly string[]) {
    super(`${name}: ${problems.join('; ')}`)
    this.name = 'SeedError'
    this.problems = problems
  }
}

/** Reads a YAML (or JSON) seed file; throws SeedError with all faults at once. */
export function readSeed(path: string): Seed {
  return parseSeed(parse(readFileSync(path, 'utf8')), path)
}

/** Checks a seed given as a value. `name` is what messages call it. */
export function parseSeed(value: unknown, name = 'seed'): Seed {
  if (!compiled.Check(value)) {
    const problems = compiled
      .Errors(value)
      .filter(error => !['additionalProperties', 'anyOf'].includes(error.keyword))
      .map(error => `${dotted(error.instancePath)} ${error.keyword === 'boolean' ? 'is no known field' : error.message}`)
    throw new SeedError(name, [...new Set(problems)])
  }
  const problems = [...blocks(value), ...references(value)]
  if (problems.length > 0) throw new SeedError(name, problems)
  return value
}

function dotted(pointer: string): string {
  return pointer === ''
    ? 'the document'
    : pointer
        .slice(1)
        .replaceAll(/\/(\d+)/g, '[$1]')
        .replaceAll('/', '.')
}

function* blocks(seed: Seed): Generator<string> {
  for (const family of ['cidr4', 'cidr6'] as const) {
    const outer = seed.vpc[family] === undefined ? undefined : parseBlock(seed.vpc[family])
    if (seed.vpc[family] !== undefined && outer?.family !== (family === 'cidr4' ? 4 : 6))
      yield `vpc.${family} is no CIDR block of its family`
    const seen: { readonly path: string; readonly block: Block }[] = []
    for (const [i, vSwitch] of seed.vSwitches.entries()) {
      const text = vSwitch[family]
      if (text === undefined) continue
      const path = `vSwitches[${i}].${family}`
      const block = parseBlock(text)
      if (block === undefined) yield `${path} is no CIDR block: ${text}`
      else if (outer === undefined || !contains(outer, block)) yield `${path} ${text} does not lie in vpc.${family}`
      else if (lastAddress(block) - block.base < 7n) yield `${path} ${text} is smaller than /${family === 'cidr4' ? 29 : 125}`
      else {
        const other = seen.find(s => s.block.base <= lastAddress(block) && block.base <= lastAddress(s.block))
        if (other !== undefined) yield `${path} ${text} overlaps ${other.path}`
        seen.push({ path, block })
      }
    }
  }
}

function* references(seed: Seed): Generator<string> {
  const ids = (items: readonly { readonly id: string }[] | undefined) => new Set(items?.map(item => item.id))
  const [vSwitches, groups, roles] = [ids(seed.vSwitches), ids(seed.securityGroups), new Set(seed.roles?.map(role => role.name))]
  for (const [i, vSwitch] of seed.vSwitches.entries())
    if (!seed.zones.includes(vSwitch.zone)) yield `vSwitches[${i}].zone ${vSwitch.zone} is not in zones`
  for (const [i, instance] of (seed.instances ?? []).entries()) {
    if (!vSwitches.has(instance.vSwitch)) yield `instances[${i}].vSwitch ${instance.vSwitch} is not in vSwitches`
    if (instance.role !== undefined && !roles.has(instance.role)) yield `instances[${i}].role ${instance.role} is not in roles`
    for (const group of instance.securityGroups)
      if (!groups.has(group)) yield `instances[${i}].securityGroups: ${group} is not in securityGroups`
  }
  for (const [i, group] of seed.securityGroups.entries())
    for (const [j, rule] of (group.rules ?? []).entries())
      if ('groupId' in rule.peer && !groups.has(rule.peer.groupId))
        yield `securityGroups[${i}].rules[${j}].peer.groupId ${rule.peer.groupId} is not in securityGroups`
}
