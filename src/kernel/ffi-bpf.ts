// SPDX-License-Identifier: Apache-2.0
import koffi from 'koffi'
import type { ProgramKind } from '#kernel/bpf/programs.ts'
import { close, SystemCallError, systemCall } from '#kernel/ffi.ts'
import { Attr, infoOf } from '#kernel/ffi-bpf-call.ts'

/** bpf(2), synchronous, on the calling thread: maps, programs and their pins, by descriptors that the caller closes. */

const setrlimit = systemCall('int setrlimit(int resource, const void *limit)')

const rlimitMemlock = 8
const licence = text('Dual BSD/GPL')
/** What kernels before 5.19 accept at most. */
const verifierLogSize = 0xffffff

export interface MapShape {
  /** BPF_MAP_TYPE_*. */
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly entries: number
  readonly flags: number
}

export function createMap(name: string, { type, keySize, valueSize, entries, flags }: MapShape): number {
  return withMemory(() =>
    new Attr(72).u32(0, type).u32(4, keySize).u32(8, valueSize).u32(12, entries).u32(16, flags).name(28, name).call('createMap'),
  )
}

/** Reads into `value`, which has the size that the map's type asks for; false when there is no such entry. */
export function lookupEntry(map: number, key: Uint8Array, value: Uint8Array): boolean {
  return unlessAbsent(() => new Attr(32).u32(0, map).pointer(8, key).pointer(16, value).call('lookup'))
}

export function updateEntry(map: number, key: Uint8Array, value: Uint8Array): void {
  new Attr(32).u32(0, map).pointer(8, key).pointer(16, value).call('update')
}

/** False when there is no such entry. */
export function deleteEntry(map: number, key: Uint8Array): boolean {
  return unlessAbsent(() => new Attr(32).u32(0, map).pointer(8, key).call('delete'))
}

/** Reads the key that follows `key`, or the first one, into `next`; false at the end. After a key that is gone comes the first one again. */
export function nextKey(map: number, key: Uint8Array | undefined, next: Uint8Array): boolean {
  const attr = new Attr(32).u32(0, map).pointer(16, next)
  if (key !== undefined) attr.pointer(8, key)
  return unlessAbsent(() => attr.call('nextKey'))
}

/** No process can write the map from now on. */
export function freezeMap(map: number): void {
  new Attr(4).u32(0, map).call('freeze')
}

export function pinObject(fd: number, path: string): void {
  new Attr(16).pointer(0, text(path)).u32(8, fd).call('pin')
}

/** Undefined when there is no such pin. */
export function openPin(path: string): number | undefined {
  let fd: number | undefined
  unlessAbsent(() => {
    fd = new Attr(16).pointer(0, text(path)).call('openPin')
  })
  return fd
}

/** Undefined when there is none of this number. */
export function openMapById(id: number): number | undefined {
  return openById('mapById', id)
}

export function openProgramById(id: number): number | undefined {
  return openById('programById', id)
}

function openById(call: 'mapById' | 'programById', id: number): number | undefined {
  let fd: number | undefined
  unlessAbsent(() => {
    fd = new Attr(16).u32(0, id).call(call)
  })
  return fd
}

/** The kernel's refusal of a program, with what its verifier said. */
export class ProgramError extends SystemCallError {
  readonly log: string

  constructor(errno: string, log: string) {
    super('bpf loadProgram', errno)
    this.name = 'ProgramError'
    this.log = log
  }
}

/** Throws ProgramError: only then the verifier is asked for its log, which slows it down. */
export function loadProgram(name: string, kind: ProgramKind, instructions: Uint8Array): number {
  const attr = new Attr(72)
    .u32(0, kind.type)
    .u32(4, instructions.length / 8)
    .pointer(8, instructions)
    .pointer(16, licence)
    .name(48, name)
    .u32(68, kind.attachType)
  try {
    return withMemory(() => attr.call('loadProgram'))
  } catch (e) {
    if (!(e instanceof SystemCallError)) throw e
    const log = Buffer.allocUnsafeSlow(verifierLogSize)
    log[0] = 0
    attr.u32(24, 1).u32(28, log.length).pointer(32, log)
    try {
      return attr.call('loadProgram')
    } catch {
      throw new ProgramError(e.errno, log.toString('latin1', 0, log.indexOf(0)))
    }
  }
}

export interface RunResult {
  /** What the program returned, signed. */
  readonly verdict: number
  readonly packet: Buffer
  /** struct __sk_buff afterwards. */
  readonly context: Buffer
  /** Of one run, on average. */
  readonly nanoseconds: number
}

/** Runs a classifier on a packet that begins with its Ethernet header. `context` is a struct __sk_buff; what may not be set in it must be zero. */
export function runProgram(program: number, packet: Uint8Array, context: Uint8Array, repeat = 1): RunResult {
  const roomToGrow = 256
  const [packetOut, contextOut] = [Buffer.alloc(packet.length + roomToGrow), Buffer.alloc(context.length)]
  const attr = new Attr(72).u32(0, program).u32(8, packet.length).u32(12, packetOut.length).pointer(16, packet).pointer(24, packetOut)
  attr.u32(32, repeat).u32(40, context.length).u32(44, contextOut.length).pointer(48, context).pointer(56, contextOut).call('run')
  return { verdict: attr.read(4) | 0, packet: packetOut.subarray(0, attr.read(12)), context: contextOut, nanoseconds: attr.read(36) }
}

/** The name is cut where it is longer than the kernel keeps. */
export function infoOfMap(map: number): MapShape & { readonly id: number; readonly name: string } {
  const info = infoOf(map, Buffer.alloc(40)) // struct bpf_map_info
  const [type = 0, id = 0, keySize = 0, valueSize = 0, entries = 0, flags = 0] = new Uint32Array(info.buffer, info.byteOffset, 6)
  return { type, id, keySize, valueSize, entries, flags, name: info.toString('latin1', 24, info.indexOf(0, 24)) }
}

/** The program's number, and those of the maps that it uses. */
export function infoOfProgram(program: number): { readonly id: number; readonly maps: readonly number[] } {
  const most = 64
  const maps = Buffer.alloc(4 * most)
  const info = Buffer.alloc(64) // struct bpf_prog_info
  info.writeUInt32LE(most, 52)
  info.writeBigUInt64LE(koffi.address(maps), 56)
  infoOf(program, info)
  const used = Math.min(info.readUInt32LE(52), most)
  return { id: info.readUInt32LE(4), maps: Array.from({ length: used }, (_, i) => maps.readUInt32LE(4 * i)) }
}

/** Before 5.11 maps and programs count against the limit of locked memory, and too little of it is told as EPERM. */
function withMemory(make: () => number): number {
  try {
    return make()
  } catch (e) {
    if (!(e instanceof SystemCallError && e.errno === 'EPERM' && raiseMemlock())) throw e
    return make()
  }
}

/** False when this process may not raise it. */
function raiseMemlock(): boolean {
  const unlimited = Buffer.alloc(16, 0xff)
  return setrlimit(rlimitMemlock, unlimited) === 0
}

function unlessAbsent(call: () => void): boolean {
  try {
    call()
    return true
  } catch (e) {
    if (e instanceof SystemCallError && e.errno === 'ENOENT') return false
    throw e
  }
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, 'utf8')
}

/** Closes what was opened, in any order. */
export function closeAll(fds: Iterable<number>): void {
  for (const fd of fds) close(fd)
}
