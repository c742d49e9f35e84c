// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'

const source = new URL('../src/rpc/grpc/terway.proto', import.meta.url)
export const generatedFile = new URL('../src/rpc/grpc/terway.gen.ts', import.meta.url)

/** terway.proto as the JSON that protobufjs reads, in a TypeScript module: a bundle needs no file beside it. */
export function generate(): string {
  const { root } = protobuf.parse(readFileSync(source, 'utf8'), { keepCase: true })
  return [
    '// SPDX-License-Identifier: Apache-2.0',
    '// Made from terway.proto by tools/gen-proto.ts; do not edit.',
    `export const terwayProto = ${JSON.stringify(root.toJSON(), null, 1)}`,
    '',
  ].join('\n')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(generatedFile, generate())
