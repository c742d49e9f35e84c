// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import type { IfName } from '#kernel/names.ts'

const pattern = /^cali[0-9a-f]{11}$/

/**
 * The host end of a pod's veth: `cali` + the first 11 hex digits of SHA-1 over "<namespace>.<pod>", with the interface's
 * name appended unless it is eth0 (Terway's wire contract; Calico's scheme too).
 */
export function hostIfName(namespace: string, pod: string, ifName: string): IfName {
  const digest = createHash('sha1').update(`${namespace}.${pod}${ifName === 'eth0' ? '' : ifName}`)
  return `cali${digest.digest('hex').slice(0, 11)}` as IfName
}

/** Whether a device is the host end of some pod, by its name alone. */
export function isHostIfName(name: string): name is IfName {
  return pattern.test(name)
}
