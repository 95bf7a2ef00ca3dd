import { toPart } from "./answer.ts";
import type { Execution } from "./context.ts";
import { encodeChunk, encodeResult, END, type FrameId } from "./frames.ts";
import type { Outbox } from "./outbox.ts";

/** Largest part sent at once, in bytes. */
const CHUNK_BYTES_MAX = 64 * 1024;
/** A body that is at hand up to this length is sent as a whole, in bytes. */
const WHOLE_BYTES_MAX = 64 * 1024;
/** Turns of the microtask queue after which a part counts as not at hand; wrapped streams need about ten. */
const TURNS_MAX = 32;

/** How many bytes of a streamed answer may still be sent. */
export interface StreamWindow {
  /** Bytes that may be sent. */
  left: number;
  /** Carries out CREDIT. */
  grant(bytes: number): void;
  /** Called after a grant, where somebody waits. */
  wake: (() => void) | undefined;
}

/** A streamed answer and where it goes. */
export interface StreamedAnswer {
  out: Outbox;
  id: FrameId;
  status: number;
  headers: Iterable<[string, string]>;
  body: ReadableStream<unknown>;
  execution: Execution;
  window: StreamWindow;
  frameBytesMax: number;
}

/**
 * Sends the frames of a streamed answer, the last included. A short body that is at hand, as that of
 * `Response.json(…)`, becomes one complete RESULT, so that its length is known to the caller. Rejects where the body
 * fails or the execution is cancelled; the body has been told by then.
 */
export async function sendStream(answer: StreamedAnswer): Promise<void> {
  const reader = answer.body.getReader();
  try {
    await sendParts(answer, reader);
  } catch (error) {
    // Not awaited: the body may take its time, or never end.
    reader.cancel(error).catch(() => {});
    throw error;
  } finally {
    answer.execution.onCancel = undefined;
  }
}

async function sendParts(answer: StreamedAnswer, reader: ReadableStreamDefaultReader<unknown>): Promise<void> {
  const { out, id, status, headers, execution, window } = answer;
  const whole: Uint8Array[] = [];
  let wholeBytes = 0;
  let begun = false;

  const begin = async () => {
    begun = true;
    // A pending read ends when its reader is cancelled. The signal is asked for, so that the deadline is watched even
    // where the handler never did.
    const { signal } = execution;
    execution.onCancel = () => {
      reader.cancel(signal.reason).catch(() => {});
      window.wake?.();
    };
    if (signal.aborted) throw signal.reason;
    encodeResult(out.frames, id, 0, { status, headers: [...headers], body: new Uint8Array(0) });
    out.flush();
    for (const part of whole.splice(0)) await sendPart(answer, part);
  };

  while (true) {
    const next = reader.read();
    if (!begun && !(await settlesSoon(next))) await begin();
    const { done, value } = await next;
    if (execution.isCancelled) throw execution.signal.reason;
    if (done) break;
    const part = toPart(value);
    if (begun) {
      await sendPart(answer, part);
      continue;
    }
    // Copied, because the body may use the memory of a part again once it was taken.
    whole.push(part.slice());
    wholeBytes += part.length;
    if (wholeBytes > WHOLE_BYTES_MAX) await begin();
  }
  if (begun) encodeChunk(out.frames, id, END, new Uint8Array(0));
  else encodeResult(out.frames, id, END, { status, headers: [...headers], body: join(whole, wholeBytes) });
  out.flush();
}

/** Sends one part, waiting for credit and for room. */
async function sendPart(answer: StreamedAnswer, part: Uint8Array): Promise<void> {
  const { out, id, window, execution } = answer;
  const partBytesMax = Math.min(CHUNK_BYTES_MAX, answer.frameBytesMax);
  for (let at = 0; at < part.length;) {
    while (window.left === 0 && !execution.isCancelled) {
      await new Promise<void>((resolve) => window.wake = resolve);
      window.wake = undefined;
    }
    if (out.isFull) await out.room();
    if (execution.isCancelled) throw execution.signal.reason;
    const length = Math.min(part.length - at, window.left, partBytesMax);
    window.left -= length;
    encodeChunk(out.frames, id, 0, part.subarray(at, at + length));
    out.flush();
    at += length;
  }
}

/** Whether a promise settles without anything from outside. */
async function settlesSoon(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  promise.then(settle, settle);
  for (let turn = 0; turn < TURNS_MAX && !settled; turn++) await null;
  return settled;
}

function join(parts: Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
