// SPDX-License-Identifier: Apache-2.0
import type { Fields } from '#config/fields.ts'

/**
 * Known to Terway, and without meaning for a node whose addresses the controller plans: how each is read, so that a wrong type is
 * told all the same. The keys of the former EIP pool had several types.
 */
const idle: Readonly<Record<string, (f: Fields, key: string) => unknown>> = {
  access_key: secret,
  access_secret: secret,
  credential_path: text,
  region_id: text,
  min_eni: count,
  max_eni: count,
  eni_cap_ratio: number,
  eni_cap_shift: number,
  eni_selection_policy: text,
  custom_stateful_workload_kinds: (f, key) => f.texts(key),
  backoff_override: members,
  disable_device_plugin: flag,
  enable_patch_pod_ips: flag,
  kube_client_qps: number,
  kube_client_burst: count,
  rate_limit: members,
  prefix: text,
  ipv4_prefix_count: count,
  ipv6_prefix_count: count,
  enable_eip_pool: (f, key) => f.seen(key),
  enable_eip_migrate: (f, key) => f.seen(key),
}

/** Reads them all; returns those that are set to something. */
export function readIdleKeys(f: Fields): readonly string[] {
  return Object.entries(idle).flatMap(([key, read]) => (asks(read(f, key)) ? [key] : []))
}

/** Whether a value expects something: the templates of Terway's chart write empty ones. */
function asks(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return value !== undefined && value !== '' && value !== 0 && value !== false
}

function text(f: Fields, key: string): string {
  return f.text(key, '')
}

/** Never shows the value. */
function secret(f: Fields, key: string): unknown {
  const value = f.seen(key)
  if (value !== undefined && typeof value !== 'string') f.wrong(key, 'must be text')
  return value
}

function count(f: Fields, key: string): number {
  return f.count(key, 0)
}

function number(f: Fields, key: string): number {
  return f.number(key, 0)
}

function flag(f: Fields, key: string): boolean {
  return f.flag(key, false)
}

function members(f: Fields, key: string): readonly unknown[] {
  return f.members(key)
}
