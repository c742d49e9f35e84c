// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { struct } from '#kernel/bpf/layout.ts'
import { addressKey, endpoint, event, flowKey } from '#kernel/bpf/structs.ts'
import { parseIp, parseIpv4 } from '#net/ip.ts'
import { parseMac } from '#net/mac.ts'

test('ports and addresses are in network order, an IPv4 address is mapped, all else is little-endian', () => {
  const bytes = flowKey.encode({ local: parseIp('10.0.1.2'), remote: parseIp('fd00::1'), localPort: 0x1234, remotePort: 80, protocol: 6 })
  assert.equal(bytes.toString('hex'), '00000000000000000000ffff0a000102' + 'fd000000000000000000000000000001' + '12340050' + '06000000')
  assert.equal(addressKey.encode({ ip: parseIp('10.0.1.2') }).toString('hex'), '00000000000000000000ffff0a000102')
  assert.equal(endpoint.encode({ outIfIndex: 0x0102 }).readUInt32LE(4), 0x0102)
})

test('what is encoded is decoded; what is left out is zero, and an absent address', () => {
  const value = {
    incarnation: 0xfffffffe,
    podMac: parseMac('02:00:00:00:00:01'),
    mtu: 8500,
    address4: parseIpv4('10.0.1.2'),
    gateway6: parseIp('fd00::fd'),
  }
  const decoded = endpoint.decode(endpoint.encode(value))
  assert.deepEqual({ ...decoded, ...value }, decoded)
  assert.equal(decoded.address6, undefined)
  assert.equal(decoded.hostMac, undefined)
  assert.equal(decoded.spare1, 0n)
  assert.throws(() => endpoint.decode(new Uint8Array(95)), RangeError)
})

test('the name of a process ends with a zero, of whatever length it is', () => {
  for (const task of ['', 'curl', 'a-name-of-fiftee']) assert.equal(event.decode(event.encode({ task })).task, task.slice(0, 15))
})

test('a layout says every byte: padding and a wrong sum are refused', () => {
  assert.throws(() => struct('padded', 8, { a: 'u8', b: 'u32' }), /b is not aligned at 1/)
  assert.throws(() => struct('short', 8, { a: 'u32' }), /short has 4 bytes, not 8/)
})
