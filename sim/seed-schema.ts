// SPDX-License-Identifier: Apache-2.0
import { type Static, type TObject, type TProperties, Type } from 'typebox'

const strict = <P extends TProperties>(properties: P): TObject<P> => Type.Object(properties, { additionalProperties: false })
const text = Type.String({ minLength: 1 })
const id = Type.String({ pattern: '^[a-zA-Z][a-zA-Z0-9._-]{0,63}$' })
const ms = Type.Number({ minimum: 0 })
const texts = Type.Array(text)
const stringMap = Type.Record(Type.String(), Type.String())

const rule = strict({
  direction: Type.Union([Type.Literal('ingress'), Type.Literal('egress')]),
  policy: Type.Union([Type.Literal('accept'), Type.Literal('drop')]),
  priority: Type.Integer({ minimum: 1, maximum: 100 }),
  protocol: Type.Union(
    ['all', 'tcp', 'udp', 'icmp', 'icmpv6'].map(name => Type.Literal(name as 'all' | 'tcp' | 'udp' | 'icmp' | 'icmpv6')),
  ),
  ports: Type.Optional(Type.Array(Type.Integer({ minimum: 1, maximum: 65535 }), { minItems: 2, maxItems: 2 })),
  peer: Type.Union([strict({ cidr: text }), strict({ groupId: text })]),
})

const instanceType = strict({
  id: text,
  family: text,
  cpu: Type.Integer({ minimum: 1 }),
  memoryGiB: Type.Number({ minimum: 0 }),
  eniQuantity: Type.Integer({ minimum: 1 }),
  eniTotalQuantity: Type.Integer({ minimum: 1 }),
  eniTrunkSupported: Type.Boolean(),
  eriQuantity: Type.Integer({ minimum: 0 }),
  ipv4PerEni: Type.Integer({ minimum: 1 }),
  ipv6PerEni: Type.Integer({ minimum: 0 }),
  bandwidthKbps: Type.Integer({ minimum: 0 }),
  networkCards: Type.Integer({ minimum: 0 }),
  mtu: Type.Optional(Type.Integer({ minimum: 1280, maximum: 8500 })),
})

/** The form of a seed file. docs: sim/README.md; an example with every block: sim/seeds/demo.yaml. */
export const seedSchema = strict({
  region: id,
  zones: Type.Array(id, { minItems: 1 }),
  keys: Type.Array(strict({ id: text, secret: text, allow: Type.Optional(texts) }), { minItems: 1 }),
  roles: Type.Optional(Type.Array(strict({ name: id, allow: Type.Optional(texts) }))),
  vpc: strict({
    id: Type.Optional(id),
    name: Type.Optional(text),
    cidr4: text,
    cidr6: Type.Optional(text),
    mtu: Type.Optional(Type.Integer({ minimum: 1280, maximum: 8500 })),
    eips: Type.Optional(Type.Array(strict({ public4: text, private4: text }))),
  }),
  vSwitches: Type.Array(strict({ id, name: Type.Optional(text), zone: id, cidr4: text, cidr6: Type.Optional(text) }), { minItems: 1 }),
  securityGroups: Type.Array(
    strict({
      id,
      name: Type.Optional(text),
      intraGroup: Type.Optional(Type.Boolean()),
      capacity: Type.Optional(Type.Integer({ minimum: 1 })),
      rules: Type.Optional(Type.Array(rule)),
    }),
    { minItems: 1 },
  ),
  instances: Type.Optional(
    Type.Array(
      strict({
        name: text,
        type: text,
        vSwitch: id,
        securityGroups: texts,
        hostName: Type.Optional(text),
        role: Type.Optional(id),
        ip: Type.Optional(text),
        ipv6Count: Type.Optional(Type.Integer({ minimum: 0 })),
        tags: Type.Optional(stringMap),
      }),
    ),
  ),
  instanceTypes: Type.Optional(Type.Array(instanceType)),
  timing: Type.Optional(
    strict({
      creating: Type.Optional(ms),
      attaching: Type.Optional(ms),
      detaching: Type.Optional(ms),
      deleting: Type.Optional(ms),
      describeLag: Type.Optional(ms),
      metadataLag: Type.Optional(ms),
      call: Type.Optional(ms),
    }),
  ),
  quota: Type.Optional(
    strict({
      enisPerAccount: Type.Optional(Type.Integer({ minimum: 0 })),
      addressesPerFreeEni: Type.Optional(Type.Integer({ minimum: 1 })),
      ipv6PerFreeEni: Type.Optional(Type.Integer({ minimum: 0 })),
      addressesPerCall: Type.Optional(Type.Integer({ minimum: 1 })),
      securityGroupsPerEni: Type.Optional(Type.Integer({ minimum: 1 })),
      tagsPerResource: Type.Optional(Type.Integer({ minimum: 1 })),
    }),
  ),
  throttle: Type.Optional(
    strict({
      enabled: Type.Optional(Type.Boolean()),
      defaultPerMinute: Type.Optional(Type.Number({ minimum: 1 })),
      apiFactor: Type.Optional(Type.Number({ minimum: 1 })),
      perMinute: Type.Optional(Type.Record(Type.String(), Type.Number({ minimum: 1 }))),
    }),
  ),
})

/** A seed file's contents: the cloud before the first call. */
export type Seed = Static<typeof seedSchema>
