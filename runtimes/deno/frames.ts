/**
 * The codec of the worker frames, version 1, as `core/abi/FRAMES.md` describes them. It knows bytes and their meaning
 * and does no IO. Both directions are here, because tests play the host; a bundle keeps what a worker uses.
 *
 * @module
 */

/** The protocol version this codec speaks. */
export const VERSION = 1;
/** Size of the header in front of every payload, in bytes. */
export const HEADER_BYTES = 16;
/** Longest payload a worker accepts, in bytes. */
export const FRAME_BYTES_MAX = 32 * 1024 * 1024;
/** Flag of a frame that ends the body. */
export const END = 1;

/** The kinds of frames; the number is the byte on the wire. */
export const Kind = {
  HELLO: 1,
  INVOKE: 2,
  CANCEL: 3,
  CREDIT: 4,
  DRAIN: 5,
  READY: 16,
  INIT_ERROR: 17,
  RESULT: 18,
  CHUNK: 19,
  ERROR: 20,
  LOG: 21,
  BYE: 22,
  FORK: 32,
  FORKED: 33,
  EXITED: 34,
} as const;

/**
 * What a frame belongs to. The host chooses 64 bits: a number where they fit it exactly, else a bigint, so that equal
 * ids are equal keys of a Map.
 */
export type FrameId = number | bigint;

/** The fixed part of a frame. */
export interface FrameHeader {
  /** Payload bytes. */
  length: number;
  /** One of {@link Kind}. */
  kind: number;
  /** 0 or {@link END}. */
  flags: number;
  /** The execution; 0 where the frame belongs to none. */
  id: FrameId;
}

/** Bytes that the protocol does not allow. The connection is out of step after it. */
export class FrameFault extends Error {
  /** `FrameFault`. */
  override name = "FrameFault";
}

const encoder = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A text that occurs in a frame; fails where it is not UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new FrameFault("a text is not UTF-8");
  }
}

/** Shortens a text to about `lengthMax` UTF-16 units without breaking a character. */
export function cut(text: string, lengthMax: number): string {
  if (text.length <= lengthMax) return text;
  const last = text.charCodeAt(lengthMax - 1);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? lengthMax - 1 : lengthMax);
}

/** Frames that wait to be sent, in one growing buffer. */
export class FrameBuffer {
  /** The memory; only the first {@link length} bytes count. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Bytes in use. */
  length = 0;
  #start = 0;

  /** Makes an empty buffer with room for `capacity` bytes. */
  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
  }

  /** The bytes in use. */
  contents(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.length);
  }

  #reserve(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.contents());
    this.bytes = grown;
  }

  /** Begins a frame; {@link finish} fills in its length. */
  begin(kind: number, flags: number, id: FrameId): this {
    this.#start = this.length;
    this.u32(0).u8(kind).u8(flags).u16(0);
    return typeof id === "bigint" ? this.u64(id) : this.u32(id >>> 0).u32(Math.floor(id / 2 ** 32));
  }

  /** Ends the frame that was begun last. */
  finish(): void {
    const end = this.length;
    this.length = this.#start;
    this.u32(end - this.#start - HEADER_BYTES);
    this.length = end;
  }

  /** Appends one byte. */
  u8(value: number): this {
    this.#reserve(1);
    this.bytes[this.length++] = value;
    return this;
  }

  /** Appends two bytes. */
  u16(value: number): this {
    return this.u8(value & 255).u8(value >>> 8);
  }

  /** Appends four bytes. */
  u32(value: number): this {
    this.#reserve(4);
    const { bytes, length } = this;
    bytes[length] = value;
    bytes[length + 1] = value >>> 8;
    bytes[length + 2] = value >>> 16;
    bytes[length + 3] = value >>> 24;
    this.length += 4;
    return this;
  }

  /** Appends eight bytes. */
  u64(value: bigint): this {
    return this.u32(Number(value & 0xffffffffn)).u32(Number(value >> 32n));
  }

  /** Appends bytes as they are. */
  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  /** Appends a text without a length. */
  text(text: string): this {
    // The worst case is reserved for short texts only: it is three times what is usual.
    if (text.length > 65536) return this.raw(encoder.encode(text));
    this.#reserve(text.length * 3);
    this.length += encoder.encodeInto(text, this.bytes.subarray(this.length)).written;
    return this;
  }

  /** Appends a text with a u16 length, cut at a character where it is longer than that can tell. */
  shortText(text: string): this {
    const at = this.length;
    this.u16(0).text(cut(text, 65535));
    let length = this.length - at - 2;
    if (length > 65535) {
      length = 65535;
      while ((this.bytes[at + 2 + length]! & 0xc0) === 0x80) length--;
    }
    this.length = at;
    this.u16(length);
    this.length += length;
    return this;
  }

  /** Appends a text with a u32 length. */
  longText(text: string): this {
    const at = this.length;
    this.u32(0).text(text);
    const end = this.length;
    this.length = at;
    this.u32(end - at - 4);
    this.length = end;
    return this;
  }

  /**
   * Appends a header block with its length. A value is a text whose units are its bytes, as HTTP has them. What is
   * longer than its length field can tell is left out.
   */
  headers(headers: Iterable<[string, string]>): this {
    const at = this.length;
    this.u32(0);
    for (const [name, value] of headers) {
      if (name.length > 65535 || value.length > 65535) continue;
      this.shortText(name).u16(value.length);
      this.#reserve(value.length);
      for (let i = 0; i < value.length; i++) this.bytes[this.length++] = value.charCodeAt(i);
    }
    const end = this.length;
    this.length = at;
    this.u32(end - at - 4);
    this.length = end;
    return this;
  }
}

/** Takes fields off the front of a payload. */
export class FieldReader {
  /** Where the next field begins. */
  at = 0;

  /** Reads from the start of a payload. */
  constructor(readonly bytes: Uint8Array<ArrayBuffer>) {}

  /** Takes bytes, which stay shared with the payload. */
  take(length: number): Uint8Array<ArrayBuffer> {
    const start = this.at;
    if (length > this.bytes.length - start) throw new FrameFault("a payload ends inside a field");
    this.at += length;
    return this.bytes.subarray(start, this.at);
  }

  /** Passes over bytes. */
  skip(length: number): void {
    if (length > this.bytes.length - this.at) throw new FrameFault("a payload ends inside a field");
    this.at += length;
  }

  /** Takes one byte. */
  u8(): number {
    this.skip(1);
    return this.bytes[this.at - 1]!;
  }

  /** Takes two bytes. */
  u16(): number {
    this.skip(2);
    return this.bytes[this.at - 2]! | this.bytes[this.at - 1]! << 8;
  }

  /** Takes four bytes. */
  u32(): number {
    this.skip(4);
    return readU32(this.bytes, this.at - 4);
  }

  /** Takes eight bytes; above 2^53 the number is no longer exact. */
  u64(): number {
    return this.u32() + this.u32() * 2 ** 32;
  }

  /** Takes a text with a u16 length. */
  shortText(): string {
    return decodeText(this.take(this.u16()));
  }

  /** Takes a text with a u32 length. */
  longText(): string {
    return decodeText(this.take(this.u32()));
  }

  /** Takes what is left. */
  rest(): Uint8Array<ArrayBuffer> {
    return this.take(this.bytes.length - this.at);
  }

  /** Fails where bytes are left. */
  end(): void {
    if (this.at < this.bytes.length) throw new FrameFault("bytes follow the last field of a payload");
  }
}

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
}

/** Reads the header at `at`, where {@link HEADER_BYTES} bytes are. */
export function decodeHeader(bytes: Uint8Array, at: number, lengthMax: number): FrameHeader {
  const length = readU32(bytes, at);
  const kind = bytes[at + 4]!;
  const flags = bytes[at + 5]!;
  if (!(kind >= 1 && kind <= 5 || kind >= 16 && kind <= 22 || kind >= 32 && kind <= 34)) {
    throw new FrameFault(`unknown frame kind ${kind}`);
  }
  if (flags > END) throw new FrameFault(`unknown frame flags ${flags}`);
  if (bytes[at + 6] || bytes[at + 7]) throw new FrameFault("reserved bytes of a frame header are not zero");
  if (length > lengthMax) throw new FrameFault(`frame of ${length} bytes exceeds the limit of ${lengthMax} bytes`);
  const low = readU32(bytes, at + 8);
  const high = readU32(bytes, at + 12);
  const id = high < 2 ** 21 ? low + high * 2 ** 32 : BigInt(low) | BigInt(high) << 32n;
  return { length, kind, flags, id };
}

/** HELLO: what the host speaks and accepts. */
export interface Hello {
  /** The host's protocol version. */
  version: number;
  /** Longest payload the host accepts, in bytes. */
  frameBytesMax: number;
  /** Bytes of one streamed answer that may be under way before CREDIT. */
  windowBytes: number;
  /** Most executions the host will have in flight. */
  maxConcurrency: number;
}

/** Reads HELLO, which a later version may have made longer. */
export function decodeHello(payload: Uint8Array<ArrayBuffer>): Hello {
  const reader = new FieldReader(payload);
  return {
    version: reader.u16(),
    frameBytesMax: reader.u32(),
    windowBytes: reader.u32(),
    maxConcurrency: reader.u32(),
  };
}

/** Appends HELLO. */
export function encodeHello(out: FrameBuffer, hello: Hello): void {
  out.begin(Kind.HELLO, 0, 0).u16(hello.version).u32(hello.frameBytesMax).u32(hello.windowBytes)
    .u32(hello.maxConcurrency).finish();
}

/** READY: what a worker has loaded. */
export interface Ready {
  /** The worker's protocol version. */
  version: number;
  /** Executions it can run at once, at least 1. */
  maxConcurrency: number;
  /** Whether it forks itself in place of serving. */
  zygote: boolean;
  /** Name and version of the SDK. */
  sdk: string;
}

/** Appends READY. */
export function encodeReady(out: FrameBuffer, ready: Ready): void {
  out.begin(Kind.READY, 0, 0).u16(ready.version).u32(ready.maxConcurrency).u8(ready.zygote ? 1 : 0)
    .shortText(ready.sdk).finish();
}

/** Reads READY, which a later version may have made longer. */
export function decodeReady(payload: Uint8Array<ArrayBuffer>): Ready {
  const reader = new FieldReader(payload);
  return { version: reader.u16(), maxConcurrency: reader.u32(), zygote: reader.u8() === 1, sdk: reader.shortText() };
}

/** Where the parts of an INVOKE stand; texts and headers are decoded when somebody asks. */
export interface Invoke {
  /** Time left when the frame was written, in milliseconds; 0 where there is no limit. */
  timeoutMs: number;
  /** Encoded execution id, function id, organization id, method, path and query. */
  texts: [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  /** The encoded header block, for {@link decodeHeaders}. */
  headers: Uint8Array<ArrayBuffer>;
  /** The request body, in memory of its own. */
  body: Uint8Array<ArrayBuffer>;
}

/** Reads INVOKE. Nothing in the result shares memory with the payload. */
export function decodeInvoke(payload: Uint8Array<ArrayBuffer>): Invoke {
  const outer = new FieldReader(payload);
  outer.skip(8);
  for (let i = 0; i < 6; i++) outer.skip(outer.u16());
  outer.skip(outer.u32());
  // One copy for the head, one for the body: the payload's memory is used for the next frame, and authors expect the
  // whole of `payload.buffer` to be theirs.
  const reader = new FieldReader(payload.slice(0, outer.at));
  const timeoutMs = reader.u64() / 1000;
  const text = () => reader.take(reader.u16());
  const texts: Invoke["texts"] = [text(), text(), text(), text(), text(), text()];
  return { timeoutMs, texts, headers: reader.take(reader.u32()), body: payload.slice(outer.at) };
}

/** The fields of an INVOKE that a host sends. */
export interface InvokeFields {
  /** Time left, in microseconds; 0 where there is no limit. */
  timeoutUs: number;
  /** Execution id, function id, organization id, method, path and query. */
  texts: [string, string, string, string, string, string];
  /** Names and values, whose units are bytes. */
  headers: [string, string][];
  /** The request body. */
  body: Uint8Array;
}

/** Appends INVOKE. */
export function encodeInvoke(out: FrameBuffer, id: FrameId, invoke: InvokeFields): void {
  out.begin(Kind.INVOKE, END, id).u64(BigInt(invoke.timeoutUs));
  for (const text of invoke.texts) out.shortText(text);
  out.headers(invoke.headers).raw(invoke.body).finish();
}

/** Reads a header block: names, and values whose units are their bytes. */
export function decodeHeaders(block: Uint8Array<ArrayBuffer>): [string, string][] {
  const reader = new FieldReader(block);
  const headers: [string, string][] = [];
  while (reader.at < block.length) headers.push([reader.shortText(), decodeBytes(reader.take(reader.u16()))]);
  return headers;
}

function decodeBytes(bytes: Uint8Array): string {
  let text = "";
  // In parts, because each byte is an argument of a call.
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return text;
}

/** Why an execution is cancelled; the number is the byte on the wire. */
export type CancelReason = 1 | 2 | 3;

/** Reads CANCEL: 1 deadline, 2 caller gone, 3 shutdown. */
export function decodeCancel(payload: Uint8Array<ArrayBuffer>): CancelReason {
  const reader = new FieldReader(payload);
  const reason = reader.u8();
  reader.end();
  if (reason !== 1 && reason !== 2 && reason !== 3) throw new FrameFault(`unknown cancel reason ${reason}`);
  return reason;
}

/** Appends CANCEL. */
export function encodeCancel(out: FrameBuffer, id: FrameId, reason: number): void {
  out.begin(Kind.CANCEL, 0, id).u8(reason).finish();
}

/** Reads CREDIT: further bytes that may be sent. */
export function decodeCredit(payload: Uint8Array<ArrayBuffer>): number {
  const reader = new FieldReader(payload);
  const bytes = reader.u32();
  reader.end();
  return bytes;
}

/** Appends CREDIT. */
export function encodeCredit(out: FrameBuffer, id: FrameId, bytes: number): void {
  out.begin(Kind.CREDIT, 0, id).u32(bytes).finish();
}

/** Appends one of the frames without payload. */
export function encodeEmpty(out: FrameBuffer, kind: number, id: FrameId): void {
  out.begin(kind, 0, id).finish();
}

/** RESULT: status, headers and the body or its first part. */
export interface Result {
  /** 200 to 599. */
  status: number;
  /** Names and values, whose units are bytes. */
  headers: [string, string][];
  /** The body or its first part. */
  body: Uint8Array;
}

/** Reads RESULT. */
export function decodeResult(payload: Uint8Array<ArrayBuffer>): Result {
  const reader = new FieldReader(payload);
  const status = reader.u16();
  if (status < 200 || status > 599) throw new FrameFault(`status ${status}`);
  return { status, headers: decodeHeaders(reader.take(reader.u32())), body: reader.rest() };
}

/** Appends RESULT; `flags` tells whether the body is complete. */
export function encodeResult(out: FrameBuffer, id: FrameId, flags: number, result: Result): void {
  out.begin(Kind.RESULT, flags, id).u16(result.status).headers(result.headers).raw(result.body).finish();
}

/** Appends CHUNK; `flags` tells whether it is the last. */
export function encodeChunk(out: FrameBuffer, id: FrameId, flags: number, body: Uint8Array): void {
  out.begin(Kind.CHUNK, flags, id).raw(body).finish();
}

/** ERROR and INIT_ERROR. */
export interface Failure {
  /** The error's class. */
  type: string;
  /** What the error says. */
  message: string;
  /** Empty where there is none. */
  trace: string;
}

/** Reads ERROR or INIT_ERROR. */
export function decodeFailure(payload: Uint8Array<ArrayBuffer>): Failure {
  const reader = new FieldReader(payload);
  const failure = { type: reader.shortText(), message: reader.longText(), trace: reader.longText() };
  reader.end();
  return failure;
}

/** Appends ERROR or INIT_ERROR. */
export function encodeFailure(out: FrameBuffer, kind: number, id: FrameId, failure: Failure): void {
  out.begin(kind, 0, id).shortText(failure.type).longText(failure.message).longText(failure.trace).finish();
}

/** LOG: one log record. */
export interface Log {
  /** 0 trace, 1 debug, 2 info, 3 warn, 4 error. */
  level: number;
  /** May have several lines. */
  message: string;
  /** A JSON object, or empty. */
  fields: string;
}

/** Reads LOG. */
export function decodeLog(payload: Uint8Array<ArrayBuffer>): Log {
  const reader = new FieldReader(payload);
  const log = { level: reader.u8(), message: reader.longText(), fields: decodeText(reader.rest()) };
  if (log.level > 4) throw new FrameFault(`log level ${log.level}`);
  return log;
}

/** Appends LOG. */
export function encodeLog(out: FrameBuffer, id: FrameId, log: Log): void {
  out.begin(Kind.LOG, 0, id).u8(log.level).longText(log.message).text(log.fields).finish();
}
