// SPDX-License-Identifier: Apache-2.0
import type { BuiltImage } from '../../deploy/image/build.ts'
import type { Lab } from '../lab.ts'
import { stackFrom } from '../stack.ts'
import type { Demo, Options } from './demo.ts'
import { Report } from './report.ts'
import { prepare } from './step-1-prepare.ts'
import { startCluster } from './step-2-cluster.ts'
import { installTerway } from './step-3-install.ts'
import { startApplication } from './step-4-application.ts'
import { checkTraffic } from './step-5-traffic.ts'
import { compare } from './step-6-compare.ts'
import { shrink } from './step-7-shrink.ts'
import { agree } from './step-8-agree.ts'

/*
 * A tour of Terway on this machine alone: `make demo`, with PODS=40 NODES=3 IP_STACK=dual DATAPATH=v2 NAME=demo. DATAPATH=veth is the regular mode, with kube-proxy;
 * PROXY=off|kube-proxy says otherwise. KEEP=1 (the default) leaves the cluster running; KEEP=0 removes it. Exits with 1 when any check failed.
 */
const number = (name: string, fallback: number, least: number) => {
  const value = Number(process.env[name] || fallback)
  if (!Number.isSafeInteger(value) || value < least) throw new Error(`${name}=${process.env[name]}: a whole number from ${least}`)
  return value
}
const datapathFrom = (value: string) => {
  if (value !== 'veth' && value !== 'v2') throw new Error(`DATAPATH=${value}: veth or v2`)
  return value
}
const proxyFrom = (value: string) => {
  if (value !== 'kube-proxy' && value !== 'off') throw new Error(`PROXY=${value}: kube-proxy or off`)
  return value
}
const nodes = number('NODES', 3, 2)
const datapath = datapathFrom(process.env.DATAPATH || 'v2')
const options: Options = {
  name: process.env.NAME || 'demo',
  nodes,
  pods: number('PODS', 40, 2 * nodes),
  stack: stackFrom('IP_STACK', process.env.IP_STACK || 'dual'),
  datapath,
  proxy: proxyFrom(process.env.PROXY || (datapath === 'v2' ? 'off' : 'kube-proxy')),
  keep: process.env.KEEP !== '0',
}
const report = new Report()
let lab: Lab | undefined

async function tour(): Promise<void> {
  let images: readonly BuiltImage[] = []
  await report.step('Prepare', async () => {
    images = await prepare(report, options)
  })
  await report.step('A VPC and a cluster', async () => {
    lab = await startCluster(report, options, images)
  })
  if (lab === undefined) return
  const demo: Demo = { options, report, lab }
  await report.step('Install Terway', () => installTerway(demo))
  try {
    await report.step(`An application of ${options.pods} pods`, () => startApplication(demo))
    await report.step('Addresses and traffic', () => checkTraffic(demo))
    if (options.datapath === 'v2') await report.step('DataPath V2 and the regular mode, side by side', () => compare(demo))
    await report.step('Scale to nothing: addresses go back', () => shrink(demo))
  } finally {
    // Also, and even more so, when something went wrong before.
    await report.step('Do all witnesses agree?', () => agree(demo))
  }
}

/** The step that threw has said why; what is left is to clean up and to count. */
await tour().catch(() => {})
if (lab !== undefined && !options.keep) await lab.down()
report.summary()
if (lab !== undefined && options.keep) {
  report.say(
    '',
    'The cluster is still running. Look around:',
    `  . tools/env.sh; export KUBECONFIG=${lab.kubeconfig}`,
    '  kubectl get pods -A -o wide',
    '  kubectl get nodes.network.alibabacloud.com -o yaml',
    '  kubectl -n kube-system exec ds/terway-eniip -c terway -- terway-cli mapping',
    `  node_modules/.bin/node lab/cli.ts exec --name ${options.name} node1 -- ip rule`,
    `Remove it with 'make lab-down NAME=${options.name}'; another 'make demo' replaces it.`,
  )
}
process.exitCode = report.failures === 0 ? 0 : 1
