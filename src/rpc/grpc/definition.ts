// SPDX-License-Identifier: Apache-2.0
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import type * as m from '#rpc/grpc/messages.ts'
import { terwayProto } from '#rpc/grpc/terway.gen.ts'

/** Where Terway's daemon listens; mode 0600. */
export const defaultSocket = '/var/run/eni/eni.socket'

/** Every method of the two services: its request and its reply (or one item of its reply stream). */
export interface BackendCalls {
  readonly AllocIP: (r: m.AllocIPRequest) => m.AllocIPReply
  readonly ReleaseIP: (r: m.ReleaseIPRequest) => m.ReleaseIPReply
  readonly GetIPInfo: (r: m.GetInfoRequest) => m.GetInfoReply
  readonly RecordEvent: (r: m.EventRequest) => m.EventReply
}
export interface TracingCalls {
  readonly GetResourceTypes: (r: m.Placeholder) => m.TypesReply
  readonly GetResources: (r: m.TypeRequest) => m.NamesReply
  readonly GetResourceConfig: (r: m.TypeNameRequest) => m.ConfigReply
  readonly GetResourceTrace: (r: m.TypeNameRequest) => m.TraceReply
  readonly ResourceExecute: (r: m.ExecuteRequest) => m.ExecuteReply
  readonly GetResourceMapping: (r: m.Placeholder) => m.MappingReply
}

type Methods<Calls> = {
  readonly [K in keyof Calls]: Calls[K] extends (r: infer Q) => infer R ? MethodDefinition<Q, R> : never
}

/** uint64 becomes a number: bytes per second stay far below 2^53. */
const definitions = fromJSON(terwayProto as Parameters<typeof fromJSON>[0], {
  keepCase: true,
  defaults: true,
  enums: Number,
  longs: Number,
})

function service<Calls>(name: string): Methods<Calls> & ServiceDefinition {
  const found = definitions[name]
  if (found === undefined || 'format' in found) throw new Error(`terway.gen.ts has no service ${name}`)
  // The compiler cannot know what the JSON holds; a test compares it with terway.proto and calls every method.
  return found as unknown as Methods<Calls> & ServiceDefinition
}

export const backend = service<BackendCalls>('rpc.TerwayBackend')
export const tracing = service<TracingCalls>('rpc.TerwayTracing')
