// SPDX-License-Identifier: Apache-2.0
import { parseGoFlags } from '#lib/flags.ts'

export interface Flags {
  readonly logLevel: string
  readonly kubeconfig: string
  /** kube-proxy runs on this node too, and answers health checks. */
  readonly besideKubeProxy: boolean
}

/** `config` stands in manifests beside terwayd's; what it says of Services reaches this process by terwayd's decision. */
const defaults = { config: '/etc/eni/eni_conf', 'log-level': 'info', kubeconfig: '', 'beside-kube-proxy': 'false' }

/** Throws `bad-flag` for a flag that does not exist or lacks its value. */
export function parseFlags(argv: readonly string[]): Flags {
  const values = parseGoFlags(argv, defaults)
  return { logLevel: values['log-level'], kubeconfig: values.kubeconfig, besideKubeProxy: values['beside-kube-proxy'] === 'true' }
}
