// SPDX-License-Identifier: Apache-2.0
import type { Brand } from '#lib/brand.ts'
import { AppError } from '#lib/errors.ts'

/** Absolute path of a network namespace file, as the runtime gives it in CNI_NETNS. */
export type NetnsPath = Brand<string, 'NetnsPath'>
/** A Linux interface name: 1–15 bytes, no slash, no white space. */
export type IfName = Brand<string, 'IfName'>
/** Where an operation acts: the node's own namespace, or one named by its file. */
export type Netns = 'host' | NetnsPath

/** Throws `bad-if-name`. The kernel's own rule (dev_valid_name), and printable ASCII only. */
export function parseIfName(text: string): IfName {
  if (text === '.' || text === '..' || !/^[!-.0-9;-~]{1,15}$/.test(text)) {
    throw new AppError('bad-if-name', `${JSON.stringify(text)} is not an interface name (1–15 printable characters, no "/", no ":")`)
  }
  return text as IfName
}

/** Throws `bad-netns-path`. */
export function parseNetnsPath(text: string): NetnsPath {
  if (!text.startsWith('/') || text.includes('\0')) {
    throw new AppError('bad-netns-path', `${JSON.stringify(text)} is not the absolute path of a network namespace (CNI_NETNS)`)
  }
  return text as NetnsPath
}
