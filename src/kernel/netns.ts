// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync } from 'node:fs'
import { SystemCallError, setNetns } from '#kernel/ffi.ts'
import { KernelError } from '#kernel/port.ts'

/** A descriptor of the namespace a thread is in now; taken once per thread, before it goes anywhere. */
export function openOwnNetns(): number {
  return openSync('/proc/thread-self/ns/net', 'r')
}

/** Opens a namespace's file. It holds the namespace alive until closed. Throws KernelError `netns-gone`. */
export function openNetns(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (e) {
    throw new KernelError('netns-gone', `network namespace ${path}`, { errno: errnoOf(e) })
  }
}

export type Synchronous<T> = T extends PromiseLike<unknown> ? never : T

/**
 * Runs `fn` with the calling thread inside the namespace `fd`, then returns to `own`. `fn` must not be asynchronous: an
 * await would let other work of this thread run in the wrong namespace, and the first use of libuv's pool inside would
 * leave the pool's threads there. Throws KernelError `netns-gone` when the file is no namespace any more: after its
 * unmount an empty file stays behind.
 */
export function inNetns<T>(own: number, fd: number, path: string, fn: () => Synchronous<T>): Synchronous<T> {
  try {
    setNetns(fd)
  } catch (e) {
    const errno = errnoOf(e)
    throw new KernelError(errno === 'EINVAL' ? 'netns-gone' : 'kernel-refused', `enter network namespace ${path}`, { errno })
  }
  try {
    return fn()
  } finally {
    setNetns(own)
  }
}

/** For a process that has nothing else to do: its only thread that works stays in the namespace. Throws as `inNetns` does. */
export function enterNetns(path: string): void {
  const fd = openNetns(path)
  try {
    setNetns(fd)
  } catch (e) {
    throw new KernelError('kernel-refused', `enter network namespace ${path}`, { errno: errnoOf(e) })
  } finally {
    closeNetns(fd)
  }
}

export function closeNetns(fd: number): void {
  closeSync(fd)
}

/** The errno's name of a failed system call, made by Node or by ffi.ts; '' when it was something else. */
export function errnoOf(e: unknown): string {
  if (e instanceof SystemCallError) return e.errno
  return e instanceof Error && 'code' in e && typeof e.code === 'string' ? e.code : ''
}
