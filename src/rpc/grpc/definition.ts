// SPDX-License-Identifier: Apache-2.0
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import protobuf from 'protobufjs/light.js'
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
const decoded = { defaults: true, enums: Number, longs: Number }
const root = protobuf.Root.fromJSON(terwayProto as protobuf.INamespace).resolveAll()

/** From protobufjs without its parser and descriptors: a daemon reads no .proto files. */
function service<Calls>(name: string): Methods<Calls> & ServiceDefinition {
  const methods = root.lookupService(name).methodsArray.map(method => [method.name, definitionOf(name, method)] as const)
  // The compiler cannot know what the JSON holds; a test compares it with terway.proto and calls every method.
  return Object.fromEntries(methods) as unknown as Methods<Calls> & ServiceDefinition
}

function definitionOf(service: string, method: protobuf.Method): MethodDefinition<object, object> {
  const { resolvedRequestType: request, resolvedResponseType: response } = method
  if (request === null || response === null) throw new Error(`terway.gen.ts does not define the messages of ${service}.${method.name}`)
  const serialize = (type: protobuf.Type) => (value: object) => Buffer.from(type.encode(type.fromObject(value)).finish())
  const deserialize = (type: protobuf.Type) => (bytes: Buffer) => type.toObject(type.decode(bytes), decoded)
  return {
    path: `/${service}/${method.name}`,
    requestStream: method.requestStream === true,
    responseStream: method.responseStream === true,
    requestSerialize: serialize(request),
    requestDeserialize: deserialize(request),
    responseSerialize: serialize(response),
    responseDeserialize: deserialize(response),
  }
}

export const backend = service<BackendCalls>('rpc.TerwayBackend')
export const tracing = service<TracingCalls>('rpc.TerwayTracing')
