/**
 * Serves a handler on a connection to a host.
 *
 * @module
 */

import { describeError, type HandlerResult, toAnswer } from "./answer.ts";
import { type Context, Execution, type Surroundings } from "./context.ts";
import {
  cut,
  decodeCancel,
  decodeCredit,
  decodeHeader,
  decodeHello,
  decodeInvoke,
  encodeEmpty,
  encodeFailure,
  encodeLog,
  encodeReady,
  END,
  type Failure,
  FRAME_BYTES_MAX,
  FrameFault,
  type FrameHeader,
  type FrameId,
  HEADER_BYTES,
  type Hello,
  Kind,
  VERSION,
} from "./frames.ts";
import { Outbox, type Sink } from "./outbox.ts";
import { sendStream, type StreamWindow } from "./stream.ts";

/** Answers one execution. `payload` is the request body; it belongs to the handler, which may change and keep it. */
export type Handler = (
  payload: Uint8Array<ArrayBuffer>,
  ctx: Context,
) => HandlerResult | Promise<HandlerResult>;

/** A connection to a host. */
export interface Connection extends Sink {
  /** Reads some bytes into the array and gives their number; `null` at the end. */
  read(into: Uint8Array): Promise<number | null>;
}

const SDK = "ignite-deno/0.1.0";
const READ_BYTES = 64 * 1024;
/** Bounds the first frame, before which nothing is agreed. */
const HELLO_BYTES_MAX = 4096;
/** How long an execution that stopped at its deadline waits for the host to say the same, in milliseconds. */
const CANCEL_GRACE_MS = 250;
const FAILURE_TEXT_LENGTH_MAX = 65536;

/** How a worker ended: the exit status, and what to say on stderr. */
export interface Ending {
  /** 0 drained or closed, 1 after INIT_ERROR, 70 the host broke the protocol. */
  status: number;
  /** Why, where it is not in order. */
  message?: string;
}

interface Running {
  execution: Execution;
  window: StreamWindow;
}

/** One connection and the executions on it. */
export class FunctionWorker implements Surroundings {
  readonly #handler: Handler;
  readonly #connection: Connection;
  readonly #out: Outbox;
  readonly #running = new Map<FrameId, Running>();
  readonly #ids = new WeakMap<Execution, FrameId>();
  #hello: Hello = { version: 0, frameBytesMax: 0, windowBytes: 0, maxConcurrency: 1 };
  #greeted = false;
  #refused = false;
  #draining = false;
  #logsDropped = 0;
  #ready!: () => void;
  #end!: (ending: Ending) => void;

  /** Makes a worker; nothing is read before {@link run}. */
  constructor(handler: Handler, connection: Connection) {
    this.#handler = handler;
    this.#connection = connection;
    this.#out = new Outbox(connection);
  }

  /**
   * Serves until the host ends it. Executions may still run then: the process is to exit. `ready` is called when READY
   * is sent.
   */
  run(ready: () => void = () => {}): Promise<Ending> {
    this.#ready = ready;
    return new Promise((resolve) => {
      this.#end = resolve;
      this.#readFrames().catch((error) => {
        if (error instanceof FrameFault) this.fault(error);
        else resolve({ status: 0 }); // a connection that was reset is closed
      });
    });
  }

  /** Ends the worker, because the host broke the protocol. */
  fault(fault: FrameFault): void {
    this.#end({ status: 70, message: `the host broke the worker protocol: ${fault.message}` });
  }

  async #readFrames(): Promise<void> {
    let buffer = new Uint8Array(READ_BYTES);
    let start = 0; // of the bytes not taken yet
    let end = 0;
    while (true) {
      const count = await this.#connection.read(buffer.subarray(end));
      if (count === null) return this.#end({ status: 0 });
      end += count;
      let needed = HEADER_BYTES;
      while (end - start >= HEADER_BYTES) {
        const header = decodeHeader(buffer, start, this.#greeted ? FRAME_BYTES_MAX : HELLO_BYTES_MAX);
        needed = HEADER_BYTES + header.length;
        if (end - start < needed) break;
        this.#take(header, buffer.subarray(start + HEADER_BYTES, start + needed));
        start += needed;
        needed = HEADER_BYTES;
      }
      // The rest, the front of a frame, moves to the front of a buffer that the frame fits into.
      const rest = buffer.subarray(start, end);
      if (needed > buffer.length || buffer.length > READ_BYTES && needed <= READ_BYTES && rest.length < READ_BYTES) {
        buffer = new Uint8Array(Math.max(needed, READ_BYTES));
        buffer.set(rest);
      } else if (start > 0) {
        buffer.copyWithin(0, start, end);
      }
      end -= start;
      start = 0;
    }
  }

  #take(header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    if (!this.#greeted) return this.#greet(header, payload);
    if (this.#refused) return;
    switch (header.kind) {
      case Kind.INVOKE:
        return this.#invoke(header, payload);
      case Kind.CANCEL: {
        const reason = decodeCancel(payload);
        this.#running.get(header.id)?.execution.cancel(reason);
        return;
      }
      case Kind.CREDIT: {
        const bytes = decodeCredit(payload);
        this.#running.get(header.id)?.window.grant(bytes);
        return;
      }
      case Kind.DRAIN:
        if (payload.length > 0) throw new FrameFault("DRAIN with a payload");
        if (this.#draining) return;
        this.#draining = true;
        return this.#checkIdle();
      default:
        throw new FrameFault(`frame of kind ${header.kind} is not for a worker that serves`);
    }
  }

  #greet(header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    if (header.kind !== Kind.HELLO) throw new FrameFault(`frame of kind ${header.kind} in place of HELLO`);
    this.#greeted = true;
    const hello = decodeHello(payload);
    if (hello.version !== VERSION) {
      return this.#refuse({
        type: "abi_version",
        message: `this function was built for version ${VERSION} of the worker protocol and its host speaks version ` +
          `${hello.version}: compile it again`,
        trace: "",
      });
    }
    if (typeof this.#handler !== "function") {
      return this.#refuse({ type: "no_handler", message: "start was called without a function", trace: "" });
    }
    this.#hello = { ...hello, maxConcurrency: Math.max(1, hello.maxConcurrency) };
    const { maxConcurrency } = this.#hello;
    encodeReady(this.#out.frames, { version: VERSION, maxConcurrency, zygote: false, sdk: SDK });
    this.#out.flush();
    this.#ready();
  }

  #refuse(failure: Failure): void {
    this.#refused = true;
    encodeFailure(this.#out.frames, Kind.INIT_ERROR, 0, failure);
    void this.#out.drained().then(() => this.#end({ status: 1, message: failure.message }));
  }

  #invoke(header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    const { id, flags } = header;
    if (flags !== END) throw new FrameFault("INVOKE without END");
    if (this.#draining) throw new FrameFault("INVOKE after DRAIN");
    if (this.#running.has(id)) throw new FrameFault(`INVOKE with id ${id}, which is in flight`);
    if (this.#running.size >= this.#hello.maxConcurrency) {
      throw new FrameFault(`INVOKE while ${this.#running.size} executions are in flight`);
    }
    const invoke = decodeInvoke(payload);
    const execution = new Execution(invoke, this);
    this.#ids.set(execution, id);
    this.#running.set(id, { execution, window: { left: this.#hello.windowBytes, grant: addCredit, wake: undefined } });
    const handler = this.#handler; // called without a `this`
    let result: HandlerResult | Promise<HandlerResult>;
    try {
      result = handler(invoke.body, execution);
    } catch (error) {
      return this.#fail(id, error);
    }
    // Without a promise in between, an answer that is at hand goes out with those of the same read.
    if (!isThenable(result)) return this.#answer(id, result);
    // What is no Promise may call back twice; resolve() sees to it that nobody does.
    Promise.resolve(result).then((result) => this.#answer(id, result), (error) => this.#fail(id, error));
  }

  #answer(id: FrameId, result: unknown): void {
    const { frames } = this.#out;
    const mark = frames.length;
    try {
      const answer = toAnswer(result);
      if (answer.body instanceof ReadableStream) {
        void this.#stream(id, answer.status, answer.headers, answer.body);
        return;
      }
      frames.begin(Kind.RESULT, END, id).u16(answer.status).headers(answer.headers);
      if (typeof answer.body === "string") frames.text(answer.body);
      else frames.raw(answer.body);
      frames.finish();
    } catch (error) {
      frames.length = mark;
      return this.#fail(id, error);
    }
    const length = frames.length - mark - HEADER_BYTES;
    if (length <= this.#hello.frameBytesMax) return this.#done(id);
    frames.length = mark;
    this.#sendFailure(id, {
      type: "response_too_large",
      message: `the answer of ${length} bytes exceeds the limit of ${this.#hello.frameBytesMax} bytes: stream it`,
      trace: "",
    });
  }

  async #stream(
    id: FrameId,
    status: number,
    headers: Iterable<[string, string]>,
    body: ReadableStream<unknown>,
  ): Promise<void> {
    const { execution, window } = this.#running.get(id)!;
    const { frameBytesMax } = this.#hello;
    try {
      await sendStream({ out: this.#out, id, status, headers, body, execution, window, frameBytesMax });
    } catch (error) {
      return this.#fail(id, error);
    }
    this.#done(id);
  }

  #fail(id: FrameId, error: unknown): void {
    const execution = this.#running.get(id)!.execution;
    const failure = describeError(error);
    if (!execution.isCancellation(error)) return this.#sendFailure(id, failure);
    failure.type = "cancelled";
    if (execution.cancelled) return this.#sendFailure(id, failure);
    // Stopped by the worker's own clock. The host's is to be first, because the host answers the caller.
    const timer = setTimeout(() => execution.onCancel?.(), CANCEL_GRACE_MS);
    execution.onCancel = () => {
      execution.onCancel = undefined;
      clearTimeout(timer);
      this.#sendFailure(id, failure);
    };
  }

  #sendFailure(id: FrameId, failure: Failure): void {
    encodeFailure(this.#out.frames, Kind.ERROR, id, {
      type: failure.type,
      message: cut(failure.message, FAILURE_TEXT_LENGTH_MAX),
      trace: cut(failure.trace, FAILURE_TEXT_LENGTH_MAX),
    });
    this.#done(id);
  }

  /** After the last frame of an execution was appended. */
  #done(id: FrameId): void {
    const running = this.#running.get(id)!;
    this.#running.delete(id);
    this.#out.flush();
    running.execution.close();
    this.#checkIdle();
  }

  #checkIdle(): void {
    if (!this.#draining || this.#running.size > 0) return;
    encodeEmpty(this.#out.frames, Kind.BYE, 0);
    void this.#out.drained().then(() => this.#end({ status: 0 }));
  }

  /** Sends a log record: that of an execution, or of none. */
  log(execution: Execution | null, level: number, message: string, fields: string): void {
    if (this.#out.isFull) {
      this.#logsDropped++;
      return;
    }
    const { frames } = this.#out;
    if (this.#logsDropped > 0) {
      const dropped = this.#logsDropped;
      this.#logsDropped = 0;
      encodeLog(frames, 0, {
        level: 3,
        message: "log records were dropped: they came faster than the host takes them",
        fields: `{"dropped":${dropped}}`,
      });
    }
    const id = execution && !execution.answered ? this.#ids.get(execution)! : 0;
    encodeLog(frames, id, { level, message, fields });
    this.#out.flush();
  }
}

function isThenable(value: unknown): value is PromiseLike<HandlerResult> {
  return typeof value === "object" && value !== null && typeof (value as PromiseLike<unknown>).then === "function";
}

function addCredit(this: StreamWindow, bytes: number): void {
  this.left += bytes;
  this.wake?.();
}
