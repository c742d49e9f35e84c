// SPDX-License-Identifier: Apache-2.0
import { chmod, mkdir, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
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

export interface GrpcDeps {
  /** Path of the socket; Terway's is `defaultSocket`. */
  readonly socket: string
  readonly leases: LeaseService
  readonly daemon: Introspection
  readonly metrics: Pick<DaemonMetrics, 'rpcLatency'>
  readonly clock: Clock
  readonly log: Logger
}

/** A plugin waits 120 s for an answer, so the daemon gives up 2 s before (Terway's wire contract). */
const deadlineMs = 118_000

/**
 * Serves TerwayBackend and TerwayTracing. The socket is bound under another name, made 0600 and renamed: nobody can connect
 * before the mode is right, and what a crashed predecessor left is replaced in one step. Throws AppError `grpc-listen`.
 */
export async function serveGrpc(deps: GrpcDeps): Promise<{ close(): Promise<void> }> {
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
  await listen(server, deps.socket)
  return {
    close: async () => {
      server.forceShutdown()
      await rm(deps.socket, { force: true })
    },
  }
}

async function listen(server: Server, socket: string): Promise<void> {
  const fresh = `${socket}.new`
  try {
    await mkdir(dirname(socket), { recursive: true })
    await rm(fresh, { force: true })
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${fresh}`, ServerCredentials.createInsecure(), error => (error ? reject(error) : resolve()))
    })
    await chmod(fresh, 0o600)
    await rename(fresh, socket)
  } catch (cause) {
    server.forceShutdown()
    throw new AppError('grpc-listen', `cannot serve gRPC on ${socket}`, { cause })
  }
}

function unary<Q, R>(deps: GrpcDeps, name: string, handler: (r: Q) => Promise<R>): handleUnaryCall<Q, R> {
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

function streamOf(deps: GrpcDeps): handleServerStreamingCall<ExecuteRequest, ExecuteReply> {
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
