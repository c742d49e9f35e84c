// SPDX-License-Identifier: Apache-2.0
import type { NsState } from '#kernel/state.ts'

/** What a look at a namespace finds where nothing is. */
export const emptyNamespace = {
  links: [],
  addrs: [],
  neighs: [],
  tbfs: [],
  routes: [],
  rules: [],
  sysctls: {},
  nsids: {},
  hooks: [],
  filters: [],
  sockets: [],
  entries: [],
} as const satisfies Omit<NsState, 'ns'>
