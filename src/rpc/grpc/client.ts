// SPDX-License-Identifier: Apache-2.0
import { Client, type ClientReadableStream, credentials, type MethodDefinition, type ServiceError } from '@grpc/grpc-js'
import { realClock } from '#lib/clock.ts'
import { AppError } from '#lib/errors.ts'
import { backend, tracing } from '#rpc/grpc/definition.ts'
import type * as m from '#rpc/grpc/messages.ts'

/** Calls to a daemon's socket. Every failure is AppError `daemon-unreachable` or `daemon-refused`. */
export interface TerwayClient {
  alloc(r: m.AllocIPRequest): Promise<m.AllocIPReply>
  release(r: m.ReleaseIPRequest): Promise<m.ReleaseIPReply>
  info(r: m.GetInfoRequest): Promise<m.GetInfoReply>
  event(r: m.EventRequest): Promise<m.EventReply>
  types(): Promise<readonly string[]>
  names(type: string): Promise<readonly string[]>
  config(r: m.TypeNameRequest): Promise<readonly m.KeyValue[]>
  trace(r: m.TypeNameRequest): Promise<readonly m.KeyValue[]>
  mapping(): Promise<m.MappingReply>
  execute(r: m.ExecuteRequest): AsyncIterable<string>
  close(): void
}

/** Terway's CLI waits 30 s for each answer. */
const timeoutMs = 30_000

export function connect(socket: string): TerwayClient {
  // The path must not become the authority: some servers refuse one with slashes.
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), { 'grpc.default_authority': 'localhost' })
  const call = <Q, R>(method: MethodDefinition<Q, R>, request: Q): Promise<R> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        { deadline: realClock.wall() + timeoutMs },
        (error, reply) => (reply === undefined ? reject(explain(socket, error)) : resolve(reply)),
      )
    })
  return {
    alloc: r => call(backend.AllocIP, r),
    release: r => call(backend.ReleaseIP, r),
    info: r => call(backend.GetIPInfo, r),
    event: r => call(backend.RecordEvent, r),
    types: async () => (await call(tracing.GetResourceTypes, {})).TypeNames,
    names: async Name => (await call(tracing.GetResources, { Name })).ResourceNames,
    config: async r => (await call(tracing.GetResourceConfig, r)).Config,
    trace: async r => (await call(tracing.GetResourceTrace, r)).Trace,
    mapping: () => call(tracing.GetResourceMapping, {}),
    execute: r => messages(socket, stream(client, r)),
    close: () => client.close(),
  }
}

function stream(client: Client, r: m.ExecuteRequest): ClientReadableStream<m.ExecuteReply> {
  const { path, requestSerialize, responseDeserialize } = tracing.ResourceExecute
  return client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, r, { deadline: realClock.wall() + timeoutMs })
}

async function* messages(socket: string, replies: ClientReadableStream<m.ExecuteReply>): AsyncGenerator<string> {
  try {
    for await (const { Message } of replies as AsyncIterable<m.ExecuteReply>) yield Message
  } catch (e) {
    throw explain(socket, e as ServiceError)
  }
}

function explain(socket: string, error: ServiceError | null): AppError {
  const details = error?.details ?? 'no reply'
  // 14 = UNAVAILABLE, 4 = DEADLINE_EXCEEDED
  if (error?.code === 14 || error?.code === 4)
    return new AppError('daemon-unreachable', `no terwayd answers on ${socket} (${details}); does it run on this node?`)
  return new AppError('daemon-refused', details)
}
