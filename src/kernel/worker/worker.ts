// SPDX-License-Identifier: Apache-2.0
import { openSync } from 'node:fs'
import type { MessagePort } from 'node:worker_threads'
import { unloadPinned } from '#kernel/bpf/pins.ts'
import { socketProgramNames } from '#kernel/bpf/programs.ts'
import { setNetns } from '#kernel/ffi.ts'
import { NetlinkConn } from '#kernel/netlink/conn.ts'
import { listTranslated } from '#kernel/netlink/conntrack.ts'
import { openOwnNetns } from '#kernel/netns.ts'
import { connectedIn, destroyIn } from '#kernel/worker/connected.ts'
import { KeptFiles } from '#kernel/worker/kept-files.ts'
import { look } from '#kernel/worker/look.ts'
import { type Home, Namespaces } from '#kernel/worker/namespaces.ts'
import { perform } from '#kernel/worker/perform.ts'
import { Pinned } from '#kernel/worker/pinned.ts'
import { probe } from '#kernel/worker/probe.ts'
import { count, grant, load, slice, survey } from '#kernel/worker/programs.ts'
import { type Calls, post, type Reply, type Request, type WorkerSetup } from '#kernel/worker/protocol.ts'
import { reap } from '#kernel/worker/reap.ts'
import { refusal } from '#kernel/worker/refusal.ts'
import { Sockets } from '#kernel/worker/sockets.ts'
import { Watch } from '#kernel/worker/watch.ts'
import { unreachable } from '#lib/errors.ts'

/**
 * Serves one lane of the kernel: every request is performed from beginning to end without an await, so requests never
 * interleave and the thread is always home between them.
 */
export function serve(port: MessagePort, setup: WorkerSetup): void {
  if (setup.hostNetns !== undefined) setNetns(openSync(setup.hostNetns, 'r'))
  const pinned = new Pinned(setup.pins)
  const sockets = new Sockets(pinned, setup.cgroup)
  const home: Home = { fd: openOwnNetns(), conn: new NetlinkConn(), procRoot: setup.procRoot, kept: new KeptFiles(), pinned, sockets }
  const say = (reply: Reply) => port.postMessage(reply, buffersOf(reply))
  let watch: Watch | undefined
  const answer = (request: Request): Calls[keyof Calls]['result'] => {
    switch (request.call) {
      case 'observe':
        return withNamespaces(home, namespaces => request.args.map(query => look(query, namespaces)))
      case 'apply':
        return withNamespaces(home, namespaces => apply(request.args, namespaces))
      case 'reap':
        return reap(home.conn, request.args)
      case 'watch':
        if (watch !== undefined) watch.deafTo([home.conn.portId, ...request.args])
        else watch = new Watch([home.conn.portId, ...request.args], events => say({ kind: 'events', events }))
        return undefined
      case 'unwatch':
        watch?.close()
        watch = undefined
        return undefined
      case 'probe':
        return probe(home)
      case 'load':
        return load(home, setup.object, request.args)
      case 'unload':
        for (const name of socketProgramNames) sockets.detach(name)
        unloadPinned(setup.pins)
        pinned.release()
        return undefined
      case 'release':
        pinned.release()
        return undefined
      case 'slice':
        return slice(request.args, pinned)
      case 'count':
        return count(request.args, pinned)
      case 'survey':
        return survey(request.args, pinned)
      case 'grant':
        return grant(request.args, pinned)
      case 'translated':
        return listTranslated()
      case 'connected':
        return withNamespaces(home, namespaces => connectedIn(['host', ...request.args], namespaces))
      case 'destroy':
        return withNamespaces(home, namespaces => ({ ended: destroyIn(request.args, namespaces) }))
      default:
        return unreachable(request)
    }
  }
  port.on('message', (request: Request) => {
    try {
      say({ kind: 'result', id: request.id, result: answer(request) })
    } catch (e) {
      say({ kind: 'error', id: request.id, error: post(refusal(e, `${request.call} failed`)) })
    }
  })
  say({ kind: 'ready', portId: home.conn.portId })
}

/** Entries of a map are handed over, not copied. */
function buffersOf(reply: Reply): ArrayBuffer[] {
  if (reply.kind !== 'result' || reply.result === undefined || !('keySize' in reply.result)) return []
  return [reply.result.keys.buffer, reply.result.values.buffer]
}

function withNamespaces<T>(home: Home, fn: (namespaces: Namespaces) => T): T {
  const namespaces = new Namespaces(home)
  try {
    return fn(namespaces)
  } finally {
    namespaces.close()
  }
}

function apply(ops: Calls['apply']['args'], namespaces: Namespaces): Calls['apply']['result'] {
  for (const [done, op] of ops.entries()) {
    try {
      perform(op, namespaces)
    } catch (e) {
      return { done, failed: post(refusal(e, 'refused by the kernel', op)) }
    }
  }
  return { done: ops.length }
}
