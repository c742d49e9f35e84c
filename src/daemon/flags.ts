// SPDX-License-Identifier: Apache-2.0
import { kubeProxyGate } from '#config/kube-proxy.ts'
import { AppError } from '#lib/errors.ts'
import { parseFeatureGates, parseGoFlags } from '#lib/flags.ts'

export interface Flags {
  readonly config: string
  readonly logLevel: string
  /** `unix:///path` or host:port of the debug server. */
  readonly readonlyListen: string
  readonly kubeconfig: string
  /** Terway's feature gate KubeProxyReplacement. */
  readonly kubeProxyReplacement: boolean
}

/** Terway's flags of terwayd. */
const defaults = {
  config: '/etc/eni/eni.json',
  'log-level': 'info',
  'readonly-listen': 'unix:///var/run/eni/eni_debug.socket',
  kubeconfig: '',
  'daemon-mode': 'ENIMultiIP',
  'feature-gates': '',
}

/** Throws `bad-flag` for a flag that does not exist, lacks its value, or has one that is not supported. */
export function parseFlags(argv: readonly string[]): Flags {
  const values = parseGoFlags(argv, defaults)
  const gates = parseFeatureGates(values['feature-gates'], [kubeProxyGate])
  if (values['daemon-mode'] !== 'ENIMultiIP') {
    throw new AppError('bad-flag', `-daemon-mode is ${JSON.stringify(values['daemon-mode'])}; only ENIMultiIP is supported`)
  }
  return {
    config: values.config,
    logLevel: values['log-level'],
    readonlyListen: values['readonly-listen'],
    kubeconfig: values.kubeconfig,
    kubeProxyReplacement: gates.has(kubeProxyGate),
  }
}
