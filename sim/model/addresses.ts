// SPDX-License-Identifier: Apache-2.0
import { formatAddress, parseAddress } from './address.ts'
import type { AddressBook } from './book.ts'
import { fault, invalid } from './errors.ts'
import type { Eni, VSwitch } from './rows.ts'
import type { State } from './state.ts'

/** What a caller wants: so many addresses (none of `except`), or these. */
export type Wanted = { readonly count: number; readonly except?: readonly string[] } | { readonly addresses: readonly string[] }

/** Picks IPv4 addresses of a vSwitch; InvalidVSwitchId.IpNotEnough (403) when there are not so many. Takes nothing yet. */
export function pickIpv4(state: State, vSwitch: VSwitch, wanted: Wanted, field: string): string[] {
  return pick(vSwitch, state.book(vSwitch.id).v4, wanted, field)
}

/** Picks IPv6 addresses; InvalidVSwitch.Ipv6NotTurnOn (403) when the vSwitch has no IPv6 block. */
export function pickIpv6(state: State, vSwitch: VSwitch, wanted: Wanted, field: string): string[] {
  const book = state.book(vSwitch.id).v6
  if (book === undefined) throw fault('InvalidVSwitch.Ipv6NotTurnOn', `vSwitch ${vSwitch.id} has no IPv6 CIDR block.`)
  return pick(vSwitch, book, wanted, field)
}

function pick(vSwitch: VSwitch, book: AddressBook, wanted: Wanted, field: string): string[] {
  if ('count' in wanted) {
    const found = vSwitch.exhausted === true && wanted.count > 0 ? [] : book.free(wanted.count, wanted.except)
    if (found.length < wanted.count)
      throw fault('InvalidVSwitchId.IpNotEnough', `The specified VSwitch "${vSwitch.id}" has not enough IpAddress.`)
    return found
  }
  const addresses = canonical(wanted.addresses)
  for (const ip of addresses) refuse(vSwitch, book, ip, field)
  return addresses
}

/** Addresses in one spelling each; InvalidIp.IpRepeated (403) when one is given twice. */
export function canonical(addresses: readonly string[]): string[] {
  const texts = addresses.map(text => {
    const parsed = parseAddress(text)
    return parsed === undefined ? text : formatAddress(parsed.value, parsed.family)
  })
  const repeated = texts.find((ip, i) => texts.indexOf(ip) !== i)
  if (repeated !== undefined) throw fault('InvalidIp.IpRepeated', `Address ${repeated} is given twice.`)
  return texts
}

function refuse(vSwitch: VSwitch, book: AddressBook, ip: string, field: string): void {
  switch (book.refusal(ip)) {
    case undefined:
      return
    case 'malformed':
      throw invalid(field, `${JSON.stringify(ip)} is no address of this family`)
    case 'taken':
      throw fault('InvalidIp.IpAssigned', `Address ${ip} is assigned already.`)
    case 'outside':
    case 'reserved':
      throw fault('InvalidVSwitchId.IpInvalid', `Address ${ip} cannot be used in vSwitch ${vSwitch.id}.`)
  }
}

/** The per-ENI limits that hold for an ENI: those of the instance type once it is attached, else the free ENI's. */
export function requireAddressQuota(
  state: State,
  eni: Eni,
  limits: { readonly ipv4PerEni: number; readonly ipv6PerEni: number } | undefined,
) {
  const ipv4 = limits?.ipv4PerEni ?? state.settings.quota.addressesPerFreeEni
  const ipv6 = limits?.ipv6PerEni ?? state.settings.quota.ipv6PerFreeEni
  const prefixes4 = eni.prefixes.filter(prefix => !prefix.includes(':')).length
  if (eni.ipv4.length + prefixes4 > ipv4)
    throw fault('InvalidOperation.Ipv4CountExceeded', `ENI ${eni.id} may hold ${ipv4} IPv4 addresses, ${eni.ipv4.length} are wanted.`)
  if (eni.ipv6.length > 0 && ipv6 === 0)
    throw fault('InvalidOperation.Ipv6NotSupport', `The instance type of ENI ${eni.id} does not support IPv6.`)
  if (eni.ipv6.length + eni.prefixes.length - prefixes4 > ipv6)
    throw fault('InvalidOperation.Ipv6CountExceeded', `ENI ${eni.id} may hold ${ipv6} IPv6 addresses, ${eni.ipv6.length} are wanted.`)
}
