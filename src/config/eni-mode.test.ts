// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseCapabilities } from '#config/capabilities.ts'
import { conflistText, hostStackOf, readConflist } from '#config/conflist.ts'
import { type ChoiceInputs, chooseDatapath } from '#config/datapath-choice.ts'
import { modeCapability, modeConflict, storedMode } from '#config/eni-mode.ts'

describe('whether pods share ENIs', () => {
  test("is kept by Terway's words", () => {
    const stored = (text: string) => storedMode(parseCapabilities(text))
    assert.deepEqual(
      ['cni_exclusive_eni = eniOnly\n', 'cni_exclusive_eni=ENIONLY', 'cni_exclusive_eni = default', 'erdma = true'].map(stored),
      ['exclusive', 'exclusive', 'shared', undefined],
    )
    assert.deepEqual(
      [modeCapability('exclusive'), modeCapability('shared')],
      [{ cni_exclusive_eni: 'eniOnly' }, { cni_exclusive_eni: 'default' }],
    )
  })

  test('is clear when nobody says anything else', () => {
    for (const mode of ['shared', 'exclusive'] as const) {
      assert.equal(modeConflict({ record: mode, label: mode, stored: mode }), undefined)
      assert.equal(modeConflict({ record: mode, label: undefined, stored: undefined }), undefined)
    }
  })

  test('is refused when the label came or went after the node had joined', () => {
    assert.match(
      modeConflict({ record: 'shared', label: 'exclusive', stored: 'shared' }) ?? '',
      /=eniOnly was set after .* take it away again, or drain the node/,
    )
    assert.match(
      modeConflict({ record: 'exclusive', label: 'shared', stored: 'exclusive' }) ?? '',
      /=eniOnly was taken away after .* set it again, or drain the node/,
    )
  })

  test('is refused when a node that has not been rebooted joins anew with another mode', () => {
    const conflict = modeConflict({ record: 'exclusive', label: 'exclusive', stored: 'shared' })
    assert.match(conflict ?? '', /cni_exclusive_eni = default, but the Node CR says eniOnly: .* drain and reboot it/)
  })
})

describe('the CNI list of a node whose pods have ENIs of their own', () => {
  const read = (conf: object) => readConflist({ conflist: undefined, conf: JSON.stringify({ type: 'terway', ...conf }), deviceMtu: 8500 })
  const made = (conf: object) => JSON.parse(conflistText(read(conf), 'veth', 'exclusive'))

  test("has Terway's name, the capability of bandwidth and the node's DNS cache", () => {
    const { name, plugins } = made({ auto_mtu: true })
    assert.equal(name, 'terway')
    assert.deepEqual(plugins, [
      {
        type: 'terway',
        mtu: 8500,
        bandwidth_mode: 'tc',
        eniip_virtual_type: 'veth',
        capabilities: { bandwidth: true },
        host_stack_cidrs: ['169.254.20.10/32'],
      },
    ])
  })

  test('what is written wins, and other plugins stay', () => {
    const conflist = JSON.stringify({
      cniVersion: '1.0.0',
      plugins: [
        { type: 'terway', host_stack_cidrs: ['10.9.0.0/16'], capabilities: { bandwidth: false } },
        { type: 'tuning', mac: 'x' },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    })
    const { plugins } = JSON.parse(conflistText(readConflist({ conflist, conf: undefined, deviceMtu: 1500 }), 'veth', 'exclusive'))
    const [terway, tuning, portmap, again] = plugins
    assert.deepEqual([terway.host_stack_cidrs, terway.capabilities], [['10.9.0.0/16'], { bandwidth: false }])
    assert.deepEqual(
      [tuning, portmap],
      [
        { type: 'tuning', mac: 'x' },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    )
    assert.deepEqual([again.again, again.host_stack_cidrs], [true, undefined])
  })

  test('the way to the node may be left out', () => {
    assert.deepEqual(
      [read({ disable_host_peer: true }).settings.disableHostPeer, read({ disable_host_peer: false }).settings.disableHostPeer],
      [true, undefined],
    )
    assert.deepEqual(hostStackOf(read({}).settings), ['169.254.20.10/32'])
  })
})

describe('the datapath of such a node', () => {
  const inputs: ChoiceInputs = {
    eniMode: 'exclusive',
    switched: undefined,
    label: undefined,
    virtualType: '',
    policyProvider: 'iptables',
    disableNetworkPolicy: undefined,
    capabilities: new Map(),
    ciliumNet: false,
    ciliumConfig: undefined,
  }
  const own = 'each pod of this node has an ENI itself'

  test('is the regular one, whoever asks for V2, and that is said', () => {
    assert.deepEqual(chooseDatapath(inputs), { datapath: 'veth', by: 'mode', why: own })
    for (const asked of [{ virtualType: 'datapathv2' }, { label: 'datapathv2' }, { switched: 'v2' }]) {
      const choice = chooseDatapath({ ...inputs, ...asked })
      assert.ok(
        !('refused' in choice) &&
          choice.datapath === 'veth' &&
          choice.why.startsWith(`${own}, past the node, with no need of DataPath V2 (`),
      )
    }
  })

  test('what cannot be taken is refused there too, and leaves no precedent', () => {
    assert.ok('refused' in chooseDatapath({ ...inputs, virtualType: 'macvlan' }))
    const capabilities = new Map([
      ['datapath_by', 'mode'],
      ['has_cilium_chainer', 'false'],
    ])
    const after = chooseDatapath({ ...inputs, eniMode: 'shared', capabilities, policyProvider: 'ebpf' })
    assert.ok(!('refused' in after) && after.datapath === 'v2')
  })
})
