// SPDX-License-Identifier: Apache-2.0
import type { Stack } from '../../src/net/stack.ts'
import type { Lab } from '../lab.ts'
import type { Report } from './report.ts'

export interface Options {
  readonly name: string
  readonly nodes: number
  readonly pods: number
  readonly stack: Stack
  /** How nodes forward: by their host stacks alone, or by programs past them. */
  readonly datapath: 'veth' | 'v2'
  /** Services are kube-proxy's, or Terway's programs translate them and there is no kube-proxy. */
  readonly proxy: 'kube-proxy' | 'off'
  /** Leave the cluster running, whatever happened. */
  readonly keep: boolean
}

/** The demo's own numbers, stated to the user where they matter. */
export const settings = {
  /** 4 ENIs with 10 addresses each. */
  instanceType: 'ecs.lab.medium',
  maxPoolSize: 5,
  minPoolSize: 2,
  poolPeriod: '5s',
  appPort: 8080,
  /** Served by the application too, but no rule of the pods' security group lets the VPC in. */
  closedPort: 9090,
  hostPort: 18080,
  internet: { 4: '203.0.113.254', 6: '2001:db8:113::254' },
  snat: '203.0.113.1',
} as const

/** What the steps share: one demo in progress. */
export interface Demo {
  readonly options: Options
  readonly report: Report
  lab: Lab
}
