// SPDX-License-Identifier: Apache-2.0
import type { Wanted } from '../model/addresses.ts'
import { fault, invalid, missing } from '../model/errors.ts'
import type { Params } from './params.ts'

/** A count xor a list of addresses, exactly one of them (reference of AssignPrivateIpAddresses). Prefixes are refused by name. */
export function wantedAddresses(
  params: Params,
  count: string,
  addresses: string,
  prefixes: readonly [count: string, list: string],
): Wanted {
  refusePrefixes(params, prefixes)
  const wanted = optionalAddresses(params, count, addresses, 100)
  if ('count' in wanted && wanted.count === 0) throw missing(count)
  return wanted
}

/** As `wantedAddresses`, but none at all is `{ count: 0 }`. */
export function optionalAddresses(params: Params, count: string, addresses: string, max: number): Wanted {
  const named = params.list(addresses, max)
  const number = params.integer(count, 1, max)
  if (named.length > 0 && number !== undefined) throw invalid(count, `it excludes ${addresses}.N`)
  return named.length > 0 ? { addresses: named } : { count: number ?? 0 }
}

export function refusePrefixes(params: Params, [count, list]: readonly [count: string, list: string]): void {
  for (const name of [count, list])
    if (params.text(name) !== undefined || params.list(name).length > 0)
      throw fault('UnsupportedParameter', `${name} is not supported by this simulator.`)
}
