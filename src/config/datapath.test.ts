// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseCapabilities, withCapabilities } from '#config/capabilities.ts'
import { type ChoiceInputs, capabilitiesOf, chooseDatapath } from '#config/datapath-choice.ts'
import { formatSwitch, parseSwitch } from '#config/datapath-switch.ts'

const fresh: ChoiceInputs = {
  switched: undefined,
  label: undefined,
  virtualType: '',
  policyProvider: 'ebpf',
  disableNetworkPolicy: 'true',
  capabilities: new Map(),
  ciliumNet: false,
  ciliumConfig: undefined,
}
const result = (change: Partial<ChoiceInputs>) => {
  const choice = chooseDatapath({ ...fresh, ...change })
  return 'refused' in choice ? 'refused' : choice.datapath
}

/** Terway's table once more, as one expression over every combination of its inputs. */
function terway(i: ChoiceInputs): string {
  const type = i.virtualType.toLowerCase()
  const chainer = i.capabilities.get('has_cilium_chainer')
  const allow = chainer === undefined ? i.ciliumNet || ['', 'false', '0', undefined].includes(i.disableNetworkPolicy) : chainer === 'true'
  const routing = i.ciliumConfig === undefined || i.ciliumConfig.includes('ENABLE_HOST_ROUTING')
  if (type === 'datapathv2') return 'v2'
  if (type === 'ipvlan') return i.capabilities.get('datapath') === 'datapathv2' || !i.ciliumNet ? 'v2' : 'refused'
  if (type === '' || type === 'veth') return i.policyProvider === 'ebpf' && allow && routing ? 'v2' : 'veth'
  return 'refused'
}

function* everything(): Generator<ChoiceInputs> {
  for (const virtualType of ['', 'veth', 'VETH', 'IPVlan', 'ipvlan', 'datapathv2', 'DataPathV2', 'macvlan'])
    for (const policyProvider of ['ebpf', 'iptables'])
      for (const disableNetworkPolicy of [undefined, '', 'false', '0', 'true', '1'])
        for (const chainer of [undefined, 'true', 'false'])
          for (const datapath of [undefined, 'veth', 'datapathv2'])
            for (const ciliumNet of [false, true])
              for (const ciliumConfig of [undefined, '#define ENABLE_HOST_ROUTING 1\n', '#define ENABLE_IPV4 1\n']) {
                const entries = Object.entries({ has_cilium_chainer: chainer, datapath })
                const capabilities = new Map(entries.flatMap(([k, v]) => (v === undefined ? [] : [[k, v] as const])))
                yield { ...fresh, virtualType, policyProvider, disableNetworkPolicy, capabilities, ciliumNet, ciliumConfig }
              }
}

describe('the choice of the datapath', () => {
  test("is Terway's for every combination of its inputs", () => {
    let count = 0
    for (const inputs of everything()) {
      assert.equal(result(inputs), terway(inputs), JSON.stringify({ ...inputs, capabilities: [...inputs.capabilities] }))
      count++
    }
    assert.equal(count, 8 * 2 * 6 * 3 * 3 * 2 * 3)
  })

  test("the chart's default is the regular mode; with network policy it is V2", () => {
    assert.equal(result({}), 'veth')
    assert.equal(result({ disableNetworkPolicy: 'false' }), 'v2')
  })

  test('a person on the node comes first, then the label, then the table; each says why', () => {
    const table = { virtualType: 'datapathv2' }
    assert.deepEqual(chooseDatapath({ ...fresh, ...table }), { datapath: 'v2', by: 'table', why: 'eniip_virtual_type is datapathv2' })
    const label = { ...table, label: 'veth' }
    assert.deepEqual(chooseDatapath({ ...fresh, ...label }), {
      datapath: 'veth',
      by: 'label',
      why: 'node label k8s.aliyun.com/datapath is veth',
    })
    const person = { ...label, switched: 'v2\n' }
    assert.deepEqual(chooseDatapath({ ...fresh, ...person }), { datapath: 'v2', by: 'switch', why: 'terway-cli datapath switch v2' })
  })

  test('off is no choice: the programs rest, and the node stays what it is', () => {
    const off = { virtualType: 'datapathv2', switched: 'off\n' }
    assert.deepEqual(chooseDatapath({ ...fresh, ...off }), chooseDatapath({ ...fresh, virtualType: 'datapathv2' }))
    assert.equal(result({ ...off, switched: 'veth\noff\n' }), 'veth')
  })

  test('whoever does not speak is passed over, also when what comes after would be refused', () => {
    assert.equal(result({ switched: '', label: '', virtualType: 'datapathv2' }), 'v2')
    assert.equal(result({ label: 'DatapathV2', virtualType: 'macvlan' }), 'v2')
  })

  test('what cannot be taken is refused by its name', () => {
    for (const [change, name] of [
      [{ switched: 'on' }, /^\/var\/lib\/cni\/terway\/datapath has "on"/],
      [{ label: 'ebpf' }, /^node label k8s.aliyun.com\/datapath is "ebpf"/],
      [{ virtualType: 'macvlan' }, /^eniip_virtual_type is "macvlan"/],
      [{ virtualType: 'ipvlan', ciliumNet: true }, /^eniip_virtual_type is "ipvlan", and the node has the link cilium_net/],
    ] as const) {
      const choice = chooseDatapath({ ...fresh, ...change })
      assert.match('refused' in choice ? choice.refused : '', name)
    }
  })

  test('a decision by the table is a precedent, as with Terway; one by the label, a person or a probe ends with its cause', () => {
    const after = (by: 'table' | 'label' | 'switch' | 'probe', datapath: 'veth' | 'v2') =>
      new Map(Object.entries(capabilitiesOf({ datapath, by, why: '' }, 'ebpf', false)))
    assert.equal(result({ capabilities: after('table', 'v2') }), 'v2')
    assert.equal(result({ capabilities: after('label', 'v2') }), 'veth')
    assert.equal(result({ capabilities: after('switch', 'v2') }), 'veth')
    assert.equal(result({ capabilities: after('probe', 'veth'), disableNetworkPolicy: 'false' }), 'v2')
  })
})

test('the switch file: a kind, off, both or nothing', () => {
  for (const said of [{ off: false }, { off: true }, { kind: 'v2', off: false }, { kind: 'veth', off: true }] as const)
    assert.deepEqual(parseSwitch(formatSwitch(said)), said)
  assert.deepEqual(parseSwitch(undefined), { off: false })
  for (const wrong of ['v3', 'v2 veth', 'off off', 'on']) assert.equal(parseSwitch(wrong), undefined, wrong)
})

describe('the capability file', () => {
  const text = '; of an earlier generator\ndatapath      = veth\nerdma: true\n\n[other]\ndatapath = x\n'

  test('is read in its default section', () => {
    assert.deepEqual(
      [...parseCapabilities(text)],
      [
        ['datapath', 'veth'],
        ['erdma', 'true'],
      ],
    )
    assert.equal(parseCapabilities('[DEFAULT]\na = "b c"\n').get('a'), 'b c')
  })

  test('keeps what is not ours, where it was', () => {
    const made = withCapabilities(text, { datapath: 'datapathv2', has_cilium_chainer: 'true' })
    assert.equal(
      made,
      '; of an earlier generator\ndatapath = datapathv2\nerdma: true\n\nhas_cilium_chainer = true\n[other]\ndatapath = x\n',
    )
    assert.equal(withCapabilities(made, { datapath: 'datapathv2', has_cilium_chainer: 'true' }), made)
    assert.equal(withCapabilities('', { a: '1' }), 'a = 1\n')
  })

  test('a line that is none is named', () => {
    assert.throws(() => parseCapabilities('a = 1\nnonsense\n'), { code: 'bad-capabilities', message: /^line 2 is "nonsense"/ })
  })
})
