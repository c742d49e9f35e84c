// SPDX-License-Identifier: Apache-2.0
import type { Socket } from 'node:net'
import { type handleServerStreamingCall, type handleUnaryCall, Server, ServerCredentials, status } from '@grpc/grpc-js'
import type { Clock } from '#lib/clock.ts'
import { AppError, messageOf } from '#lib/errors.ts'
import type { Logger } from '#lib/log.ts'
import { type DaemonMetrics, timed } from '#lib/metrics.ts'
import { backendHandlers, LeaseRefused } from '#rpc/grpc/backend.ts'
import { backend, tracing } from '#rpc/grpc/definition.ts'
import type { ExecuteReply, ExecuteRequest } from '#rpc/grpc/messages.ts'
import type { Introspection, LeaseService } from '#rpc/grpc/port.ts'
import { execute, tracingHandlers } from '#rpc/grpc/tracing.ts'

export interface ServicesDeps {
  readonly leases: LeaseService
  readonly daemon: Introspection
  readonly metrics: Pick<DaemonMetrics, 'rpcLatency'>
  readonly clock: Clock
  readonly log: Logger
}

/** TerwayBackend and TerwayTracing, for connections that somebody else accepts. */
export interface Services {
  serve(connection: Socket): void
  /** Ends every connection. */
  close(): void
}

/** A plugin waits 120 s for an answer, so the daemon gives up 2 s before (Terway's wire contract). */
const deadlineMs = 118_000

export function makeServices(deps: ServicesDeps): Services {
  const server = new Server({ 'grpc.max_receive_message_length': 1 << 20 })
  const leasing = backendHandlers(deps.leases)
  const showing = tracingHandlers(deps.daemon)
  server.addService(backend, {
    AllocIP: unary(deps, 'AllocIP', leasing.AllocIP),
    ReleaseIP: unary(deps, 'ReleaseIP', leasing.ReleaseIP),
    GetIPInfo: unary(deps, 'GetIPInfo', leasing.GetIPInfo),
    RecordEvent: unary(deps, 'RecordEvent', leasing.RecordEvent),
  })
  server.addService(tracing, {
    GetResourceTypes: unary(deps, 'GetResourceTypes', showing.GetResourceTypes),
    GetResources: unary(deps, 'GetResources', showing.GetResources),
    GetResourceConfig: unary(deps, 'GetResourceConfig', showing.GetResourceConfig),
    GetResourceTrace: unary(deps, 'GetResourceTrace', showing.GetResourceTrace),
    GetResourceMapping: unary(deps, 'GetResourceMapping', showing.GetResourceMapping),
    ResourceExecute: streamOf(deps),
  })
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  return {
    serve: connection => injector.injectConnection(connection),
    close: () => server.forceShutdown(),
  }
}

function unary<Q, R>(deps: ServicesDeps, name: string, handler: (r: Q) => Promise<R>): handleUnaryCall<Q, R> {
  return (call, reply) => {
    const { clock } = deps
    let cancel = () => {}
    const late = new Promise<never>((_, reject) => {
      cancel = clock.after(deadlineMs, () => reject(new AppError('grpc-late', `${name} took over ${deadlineMs / 1000} s`)))
    })
    const work = () => Promise.race([handler(call.request), late])
    timed(deps.metrics.rpcLatency, { rpc_api: name }, clock.now, work)
      .then(r => reply(null, r))
      .catch(e => reply(failure(deps.log, name, e)))
      .finally(cancel)
  }
}

function streamOf(deps: ServicesDeps): handleServerStreamingCall<ExecuteRequest, ExecuteReply> {
  return async call => {
    try {
      for await (const Message of execute(deps.daemon, call.request)) call.write({ Message })
      call.end()
    } catch (e) {
      call.emit('error', failure(deps.log, 'ResourceExecute', e))
    }
  }
}

/** gRPC status Unknown with the text that Terway's clients parse. Only a refusal has a code of theirs; codes of ours mean nothing to them. */
function failure(log: Logger, name: string, e: unknown): { code: number; details: string } {
  const code = e instanceof LeaseRefused ? e.code : 'InternalError'
  log.warn({ rpc: name, code, err: messageOf(e) }, 'gRPC call refused')
  return { code: status.UNKNOWN, details: `code: ${code}, msg: ${messageOf(e)}` }
}
