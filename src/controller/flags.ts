// SPDX-License-Identifier: Apache-2.0
import { parseGoFlags, refuseFeatureGates } from '#lib/flags.ts'

export interface Flags {
  readonly config: string
  /** Empty: no secret file. */
  readonly credential: string
}

/** Terway's flags of terway-controlplane; `v` is klog's and has no effect. */
const defaults = { config: '/etc/config/ctrl-config.yaml', credential: '', 'feature-gates': '', v: '' }

/** Throws `bad-flag`. */
export function parseFlags(argv: readonly string[]): Flags {
  const values = parseGoFlags(argv, defaults)
  refuseFeatureGates(values['feature-gates'])
  return { config: values.config, credential: values.credential }
}
