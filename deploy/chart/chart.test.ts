// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { conflistText, readConflist } from '#config/conflist.ts'
import { parseEniConf } from '#config/eni-conf.ts'
import { parseControllerConfig, parseSecret } from '#controller/config.ts'
import { binPath } from '../../tools/bin.ts'

const helm = join(binPath(), 'helm')
const chart = join(import.meta.dirname, 'terway')
const skip = existsSync(helm) ? false : "needs helm: run 'make setup'"

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly data?: Readonly<Record<string, string>>
  readonly stringData?: Readonly<Record<string, string>>
  readonly rules?: readonly { readonly apiGroups: string[]; readonly resources: string[]; readonly verbs: string[] }[]
  readonly spec?: { readonly template: { readonly spec: PodSpec } }
}
interface PodSpec {
  readonly hostNetwork: boolean
  readonly hostPID?: boolean
  readonly containers: readonly Container[]
  readonly initContainers?: readonly Container[]
  readonly volumes: readonly { readonly name: string; readonly hostPath?: { readonly path: string } }[]
}
interface Container {
  readonly name: string
  readonly image: string
  readonly command: readonly string[]
  readonly env?: readonly { readonly name: string; readonly value?: string }[]
  readonly securityContext: {
    readonly privileged?: boolean
    readonly readOnlyRootFilesystem: boolean
    readonly allowPrivilegeEscalation: boolean
    readonly capabilities: { readonly drop: string[]; readonly add?: string[] }
  }
  readonly volumeMounts: readonly {
    readonly name: string
    readonly mountPath: string
    readonly mountPropagation?: string
    readonly readOnly?: boolean
  }[]
  readonly livenessProbe?: Container['readinessProbe']
  readonly readinessProbe?: { readonly httpGet: { readonly host?: string; readonly port: number; readonly path: string } }
}

const needed = [
  'terwayControlplane.regionID=cn-lab',
  'terwayControlplane.clusterID=c1',
  'terwayControlplane.vpcID=vpc-1',
  'terway.vSwitchIDs.zone-a[0]=vsw-1',
]

function args(values: readonly string[]): string[] {
  const set = [...needed, ...values].flatMap(value => ['--set', value])
  return ['template', 'terway', chart, '--namespace', 'kube-system', '--kube-version', '1.34.4', ...set]
}

function render(...values: string[]): Manifest[] {
  const text = execFileSync(helm, args(values), { encoding: 'utf8', maxBuffer: 1 << 24 })
  return parseAllDocuments(text)
    .map(document => document.toJS() as Manifest | null)
    .filter(m => m !== null)
}

function find(all: readonly Manifest[], kind: string, name: string): Manifest {
  const found = all.find(m => m.kind === kind && m.metadata.name === name)
  assert.ok(found, `${kind} ${name} is not in the chart`)
  return found
}

function podOf(all: readonly Manifest[], kind: string, name: string): PodSpec {
  const spec = find(all, kind, name).spec
  assert.ok(spec)
  return spec.template.spec
}

function only<T>(items: readonly T[] | undefined): T {
  const [item] = items ?? []
  assert.ok(item !== undefined && items?.length === 1)
  return item
}

test('the daemon runs without privilege, with the three capabilities it needs and a read-only root', { skip }, () => {
  const pod = podOf(render('terway.exclusiveServices=false'), 'DaemonSet', 'terway-eniip')
  const terway = only(pod.containers)
  assert.equal(pod.hostNetwork, true)
  assert.equal(pod.hostPID, undefined)
  assert.deepEqual(terway.securityContext.capabilities, { drop: ['ALL'], add: ['NET_ADMIN', 'SYS_ADMIN', 'DAC_OVERRIDE'] })
  const more = podOf(render('terway.extraCapabilities[0]=SYS_RESOURCE'), 'DaemonSet', 'terway-eniip')
  assert.equal(only(more.containers).securityContext.capabilities.add?.at(-1), 'SYS_RESOURCE')
  for (const c of [terway, only(pod.initContainers)]) {
    assert.equal(c.securityContext.privileged, undefined, c.name)
    assert.equal(c.securityContext.readOnlyRootFilesystem, true, c.name)
    assert.equal(c.securityContext.allowPrivilegeEscalation, false, c.name)
  }
  const propagated = terway.volumeMounts.filter(m => m.mountPropagation === 'HostToContainer').map(m => m.mountPath)
  assert.deepEqual(propagated, ['/var/run/netns', '/run/netns', '/sys/fs/bpf'])
  assert.deepEqual(
    pod.volumes.flatMap(v => v.hostPath?.path ?? []),
    [
      ...['/var/run/eni', '/var/run/netns', '/var/lib/cni/terway', '/etc/cni/net.d', '/opt/cni/bin', '/proc'],
      ...['/sys/fs/bpf', '/var/run/cilium'],
    ],
  )
  assert.equal(terway.readinessProbe?.httpGet.host, '127.0.0.1')
})

test('the mounted configuration is what the daemon reads', { skip }, () => {
  const values = ['terway.eniConf.max_pool_size=7', 'terway.securityGroupIDs[0]=sg-1', 'terway.eniConf.service_algorithm=maglev']
  const config = find(render(...values), 'ConfigMap', 'eni-config').data ?? {}
  const { conf, unknownKeys, idleKeys } = parseEniConf(config.eni_conf ?? '')
  assert.deepEqual([unknownKeys, idleKeys], [[], []])
  assert.equal(conf.maxPoolSize, 7)
  assert.equal(conf.serviceAlgorithm, 'maglev')
  assert.deepEqual(conf.vswitches, { 'zone-a': ['vsw-1'] })
  assert.deepEqual(conf.securityGroups, ['sg-1'])
  assert.equal(conf.serviceCidr4, '10.96.0.0/12')
  const list = readConflist({ conflist: undefined, conf: config['10-terway.conf'], deviceMtu: 8500 })
  assert.deepEqual(list.unknownKeys, [])
  const [plugin] = JSON.parse(conflistText(list, 'veth')).plugins
  assert.deepEqual([plugin.type, plugin.mtu], ['terway', 8500])
})

test('plugins behind Terway make a list of it, which the daemon prefers', { skip }, () => {
  const portmap = { type: 'portmap', capabilities: { portMappings: true }, snat: true }
  const values = ['type=portmap', 'capabilities.portMappings=true', 'snat=true'].map(v => `terway.cniPlugins[0].${v}`)
  const data = find(render(...values), 'ConfigMap', 'eni-config').data ?? {}
  const list = readConflist({ conflist: data['10-terway.conflist'], conf: data['10-terway.conf'], deviceMtu: 1500 })
  assert.deepEqual([list.unknownKeys, list.dropped], [[], []])
  const { plugins } = JSON.parse(conflistText(list, 'veth'))
  assert.deepEqual([plugins[0].type, plugins[1], plugins.length], ['terway', portmap, 2])
  assert.equal(find(render(), 'ConfigMap', 'eni-config').data?.['10-terway.conflist'], undefined)
})

test('enableDatapathV2 asks for it, and leaves the node-local DNS to the host stack; without it nothing is said', { skip }, () => {
  const settings = (...values: string[]) => {
    const conf = find(render(...values), 'ConfigMap', 'eni-config').data?.['10-terway.conf']
    return readConflist({ conflist: undefined, conf, deviceMtu: 1500 }).settings
  }
  assert.deepEqual(settings(), { virtualType: '', policyProvider: 'ebpf', hostStackCidrs: [] })
  const v2 = { virtualType: 'datapathv2', policyProvider: 'ebpf', hostStackCidrs: ['169.254.20.10/32'] }
  assert.deepEqual(settings('terway.enableDatapathV2=true'), v2)
})

test('kubeProxyReplacement adds the container that watches Services, what it may read, and the cgroups of the host; without it nothing of them is there', {
  skip,
}, () => {
  const services = (all: readonly Manifest[]) => (find(all, 'ClusterRole', 'terway-pod-reader').rules ?? []).flatMap(r => r.resources)
  const conf = (all: readonly Manifest[]) => JSON.parse(find(all, 'ConfigMap', 'eni-config').data?.eni_conf ?? '')
  const without = render('terway.exclusiveServices=false', 'apiServer=10.0.0.1:6443')
  assert.equal(podOf(without, 'DaemonSet', 'terway-eniip').containers.length, 1)
  // Said in both cases: without the key a node keeps what it has decided until a reboot.
  assert.equal(conf(without).kube_proxy_replacement, false)
  assert.ok(!services(without).includes('services'))

  const all = render('terway.kubeProxyReplacement=true', 'apiServer=10.0.0.1:6443')
  const pod = podOf(all, 'DaemonSet', 'terway-eniip')
  const [terway, policy] = pod.containers
  assert.equal(conf(all).kube_proxy_replacement, true)
  for (const resource of ['services', 'endpointslices']) assert.ok(services(all).includes(resource), resource)
  const cgroup = terway?.volumeMounts.find(m => m.mountPath === '/host/cgroup')
  assert.equal(cgroup?.readOnly, true)
  assert.equal(pod.volumes.find(v => v.name === cgroup?.name)?.hostPath?.path, '/sys/fs/cgroup')
  assert.equal(policy?.name, 'policy')
  assert.ok(policy?.command.includes('/usr/lib/terway/terway-policy.mjs'))
  const env = Object.fromEntries(policy?.env?.map(e => [e.name, e.value]) ?? [])
  assert.equal(env.KUBERNETES_SERVICE_HOST, '10.0.0.1')
  assert.equal(env.TERWAY_POLICY_LISTEN, '127.0.0.1:9130')
  assert.deepEqual(policy?.readinessProbe?.httpGet, { host: '127.0.0.1', port: 9130, path: '/readyz' })
  assert.equal(policy?.securityContext.privileged, undefined)
  assert.equal(policy?.securityContext.readOnlyRootFilesystem, true)
  assert.deepEqual(policy?.securityContext.capabilities, { drop: ['ALL'], add: ['SYS_ADMIN'] })
})

test('beside kube-proxy nodes whose pods have an ENI each, and they alone, have the container that watches Services', { skip }, () => {
  const all = render()
  const [terway, ...others] = podOf(all, 'DaemonSet', 'terway-eniip').containers
  assert.deepEqual(others, [])
  assert.equal(terway?.volumeMounts.find(m => m.mountPath === '/host/cgroup')?.readOnly, true)
  const conf = JSON.parse(find(all, 'ConfigMap', 'eni-config').data?.eni_conf ?? '')
  assert.deepEqual([conf.kube_proxy_replacement, conf.exclusive_services], [false, true])
  const policy = only(podOf(all, 'DaemonSet', 'terway-policy-exclusive').containers)
  assert.ok(policy.command.includes('/usr/lib/terway/terway-policy.mjs'))
  assert.deepEqual(policy.securityContext.capabilities, { drop: ['ALL'], add: ['SYS_ADMIN'] })
  const replaced = render('terway.kubeProxyReplacement=true', 'apiServer=10.0.0.1:6443')
  assert.throws(() => find(replaced, 'DaemonSet', 'terway-policy-exclusive'))
})

test('each of the three stacks reaches the daemon, and the controller takes the word', { skip }, () => {
  for (const stack of ['ipv4', 'dual', 'ipv6']) {
    const all = render(`terway.ipStack=${stack}`, 'terway.serviceCIDR=10.96.0.0/12\\,fd00:10:96::/108')
    const { conf } = parseEniConf(find(all, 'ConfigMap', 'eni-config').data?.eni_conf ?? '')
    assert.deepEqual([conf.ipStack, conf.serviceCidr4, conf.serviceCidr6], [stack, '10.96.0.0/12', 'fd00:10:96::/108'])
  }
  const controller = find(render('terwayControlplane.ipStack=dual'), 'ConfigMap', 'terway-controlplane')
  assert.deepEqual(parseControllerConfig(controller.data?.['ctrl-config.yaml'] ?? '').unknownKeys, [])
})

test("the controller's configuration and secret are what it reads", { skip }, () => {
  const all = render(
    'terwayControlplane.ctrlConfig.rateLimit.AssignPrivateIpAddresses=100',
    'terwayControlplane.accessKey=a',
    'terwayControlplane.accessSecret=b',
  )
  const { config, unknownKeys } = parseControllerConfig(find(all, 'ConfigMap', 'terway-controlplane').data?.['ctrl-config.yaml'] ?? '')
  assert.deepEqual(unknownKeys, [])
  assert.deepEqual([config.regionId, config.clusterId, config.vpcId], ['cn-lab', 'c1', 'vpc-1'])
  assert.equal(config.controllerName, 'terway-controlplane')
  assert.deepEqual(config.rateLimit, { AssignPrivateIpAddresses: 100 })
  const secret = parseSecret(find(all, 'Secret', 'terway-controlplane-credential').stringData?.['ctrl-secret.yaml'] ?? '')
  assert.deepEqual([secret.accessKey, secret.accessSecret], ['a', 'b'])
})

test('apiServer replaces the Service address for both; cloud endpoints reach the controller only', { skip }, () => {
  const all = render('apiServer=10.0.0.1:6443', 'cloud.ecsEndpoint=100.100.0.5:80', 'cloud.scheme=HTTP', 'cloud.metadataEndpoint=http://m')
  const env = (kind: string, name: string) =>
    Object.fromEntries(only(podOf(all, kind, name).containers).env?.map(e => [e.name, e.value]) ?? [])
  const controller = env('Deployment', 'terway-controlplane')
  const daemon = env('DaemonSet', 'terway-eniip')
  for (const one of [controller, daemon]) {
    assert.equal(one.KUBERNETES_SERVICE_HOST, '10.0.0.1')
    assert.equal(one.KUBERNETES_SERVICE_PORT, '6443')
    assert.equal(one.ALIBABA_CLOUD_IMDS_ENDPOINT, 'http://m')
  }
  assert.equal(controller.ECS_ENDPOINT, '100.100.0.5:80')
  assert.equal(controller.ALICLOUD_CLIENT_SCHEME, 'HTTP')
  assert.equal(daemon.ECS_ENDPOINT, undefined)
})

test('the controller is on the network of its host, so its probes and metrics are on the loopback address', { skip }, () => {
  const of = (...values: string[]) => {
    const all = render(...values)
    const { config } = parseControllerConfig(find(all, 'ConfigMap', 'terway-controlplane').data?.['ctrl-config.yaml'] ?? '')
    const { livenessProbe, readinessProbe } = only(podOf(all, 'Deployment', 'terway-controlplane').containers)
    return { config, probes: [livenessProbe?.httpGet, readinessProbe?.httpGet] }
  }
  const probes = (host: string, port: number) => ['/healthz', '/readyz'].map(path => ({ path, host, port }))
  const usual = of()
  assert.deepEqual([usual.config.healthzBindAddress, usual.config.metricsBindAddress], ['127.0.0.1:8080', '127.0.0.1:8081'])
  assert.deepEqual(usual.probes, probes('127.0.0.1', 8080))
  assert.deepEqual(of('terwayControlplane.healthzBindAddress=0.0.0.0:9000').probes, probes('127.0.0.1', 9000))
  assert.deepEqual(of('terwayControlplane.healthzBindAddress=:9000').probes, probes('127.0.0.1', 9000))
  assert.deepEqual(of('terwayControlplane.healthzBindAddress=10.0.0.7:9000').probes, probes('10.0.0.7', 9000))
})

test('a key pair is in a Secret only, mounted as a file; without one there is none', { skip }, () => {
  const all = render('terwayControlplane.accessKey=AKID', 'terwayControlplane.accessSecret=s3cret')
  const holders = all.filter(m => JSON.stringify(m).includes('s3cret'))
  assert.deepEqual(
    holders.map(m => `${m.kind}/${m.metadata.name}`),
    ['Secret/terway-controlplane-credential'],
  )
  const command = only(podOf(all, 'Deployment', 'terway-controlplane').containers).command
  assert.deepEqual(command.slice(-2), ['-credential', '/etc/credential/ctrl-secret.yaml'])
  assert.equal(
    render().some(m => m.kind === 'Secret'),
    false,
  )
})

test('the controller may write nodes and their status, of both API groups, and no pod', { skip }, () => {
  const rules = find(render(), 'ClusterRole', 'terway-controlplane').rules ?? []
  const groupsOf = (resource: string) =>
    rules.filter(rule => rule.resources.includes(resource) && rule.verbs.includes('patch')).flatMap(rule => rule.apiGroups)
  for (const resource of ['nodes', 'nodes/status']) assert.deepEqual(groupsOf(resource), ['', 'network.alibabacloud.com'])
  assert.deepEqual(groupsOf('pods'), [])
})

test('no rule grants everything, and the daemon may write nothing but its CRs and events', { skip }, () => {
  const all = render()
  for (const m of all)
    for (const rule of m.rules ?? []) assert.ok(![...rule.apiGroups, ...rule.resources, ...rule.verbs].includes('*'), m.metadata.name)
  const writes = (find(all, 'ClusterRole', 'terway-pod-reader').rules ?? [])
    .filter(rule => rule.verbs.some(verb => !['get', 'list', 'watch'].includes(verb)))
    .flatMap(rule => rule.resources)
  assert.deepEqual(writes, ['nodes', 'noderuntimes', 'noderuntimes/status', 'events'])
  const readsOnly = find(all, 'Role', 'terway').rules?.every(rule => rule.verbs.every(verb => ['get', 'list', 'watch'].includes(verb)))
  assert.equal(readsOnly, true)
})

const refused: readonly (readonly [string, RegExp])[] = [
  ['centralizedIPAM=false', /centralizedIPAM: false is not supported yet/],
  ['featureGates=X=true', /featureGates/],
  ['terway.daemonMode=VPC', /terway.daemonMode: only ENIMultiIP/],
  ['terway.enableNetworkPolicy=true', /terway.enableNetworkPolicy: not supported yet/],
  ['terway.kubeProxyReplacement=yes', /terway.kubeProxyReplacement: true or false/],
  ['terway.kubeProxyReplacement=true', /terway.kubeProxyReplacement: set apiServer/],
  ['terway.networkPolicyProvider=none', /terway.networkPolicyProvider: ebpf or iptables/],
  ['terway.ciliumArgs=--debug', /terway.ciliumArgs/],
  ['terway.ipStack=ipv5', /terway.ipStack: ipv4, dual or ipv6 \(got "ipv5"\)/],
  ['terwayControlplane.ipStack=IPv6', /terwayControlplane.ipStack: ipv4, dual or ipv6/],
  ['terway.accessKey=a', /terway.accessKey: nodes hold no cloud credentials/],
  ['terwayControlplane.accessKey=a', /accessKey and accessSecret: set both or none/],
  ['terwayControlplane.credentialPath=/x', /credentialPath: not supported/],
  ['terwayControlplane.enableTrunk=true', /enableTrunk: not supported yet/],
  ['terwayControlplane.webhookFailurePolicy=Fail', /webhookFailurePolicy: there is no webhook yet/],
  ['terwayControlplane.controllers[0]=pod-eni', /"pod-eni" is not supported yet/],
  ['terwayControlplane.regionID=', /terwayControlplane.regionID is required/],
  ['terwayMigrate.enabled=true', /terwayMigrate.enabled: not supported/],
  ['apiServer=10.0.0.1', /apiServer must be host:port/],
]
for (const [value, message] of refused) {
  test(`${value} is refused by name`, { skip }, () => {
    const { status, stderr } = spawnSync(helm, args([value]), { encoding: 'utf8' })
    assert.notEqual(status, 0)
    assert.match(stderr, message)
  })
}
