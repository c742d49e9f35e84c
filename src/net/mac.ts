// SPDX-License-Identifier: Apache-2.0
import type { Brand } from '#lib/brand.ts'
import { AppError } from '#lib/errors.ts'

/** Six lower-case hex pairs with colons. */
export type Mac = Brand<string, 'Mac'>

export function parseMac(text: string): Mac {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) throw new AppError('bad-mac', `${JSON.stringify(text)} is not a MAC address`)
  return text.toLowerCase() as Mac
}

export function macToBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(':'), part => Number.parseInt(part, 16))
}

export function macFromBytes(bytes: Uint8Array): Mac {
  return Array.from(bytes, b => b.toString(16).padStart(2, '0')).join(':') as Mac
}
