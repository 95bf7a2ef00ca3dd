/**
 * One execution as its handler sees it.
 *
 * @module
 */

import { type CancelReason, cut, decodeHeaders, decodeText, FrameFault, type Invoke } from "./frames.ts";
import { TempStore } from "./store.ts";

/** Writes log records that carry the execution's id. */
export interface Logger {
  /** Finer than debug. */
  trace(message: string, fields?: Record<string, unknown>): void;
  /** For the author while developing. */
  debug(message: string, fields?: Record<string, unknown>): void;
  /** Normal operation. */
  info(message: string, fields?: Record<string, unknown>): void;
  /** Unexpected, but handled. */
  warn(message: string, fields?: Record<string, unknown>): void;
  /** Something failed. */
  error(message: string, fields?: Record<string, unknown>): void;
}

/** One execution: the request, and what belongs to it while the handler runs. */
export interface Context {
  /** Unique for every execution. */
  readonly execution_id: string;
  /** The app, as `organization/name`. */
  readonly function_id: string;
  /** The app's organization. */
  readonly organization_id: string;
  /** The request headers. */
  readonly headers: Headers;
  /** The HTTP method, as sent. */
  readonly method: string;
  /** The path as sent: percent-encoded, beginning with `/`. */
  readonly path: string;
  /** The parsed query; `ctx.query.toString()` is a query again. */
  readonly query: URLSearchParams;
  /**
   * Aborted at the deadline, when the caller goes away, when the host shuts down, and when the answer is complete. A
   * handler that throws its reason is recorded as cancelled, not as failed.
   */
  readonly signal: AbortSignal;
  /** When the execution's time is up; `null` where it has no limit. */
  readonly deadline: Date | null;
  /** Milliseconds until the deadline, not below 0; `Infinity` where there is none. */
  remaining(): number;
  /** A logger whose records carry the execution's id. `console` works too, without the id. */
  readonly log: Logger;
  /** Scratch memory, gone with the execution. */
  readonly temp_store: TempStore;
}

/** What an execution needs of whatever runs it. */
export interface Surroundings {
  /** Takes a log record; `level` is 0 trace to 4 error, `fields` a JSON object or empty. */
  log(execution: Execution, level: number, message: string, fields: string): void;
  /** Told when the request turns out to be malformed while it is read. */
  fault(fault: FrameFault): void;
}

const LOG_LENGTH_MAX = 65536;

/** The implementation of {@link Context}. What costs something is made when somebody asks for it. */
export class Execution implements Context {
  /** When the time is up by `performance.now()`; 0 where there is no limit. */
  readonly deadlineAt: number;
  /** Why the host cancelled it, if it did. */
  cancelled: CancelReason | 0 = 0;
  /** Called when the execution is cancelled, by the host or by its deadline. */
  onCancel: (() => void) | undefined;
  /** Whether its answer is complete. */
  answered = false;

  readonly #invoke: Invoke;
  readonly #surroundings: Surroundings;
  readonly #texts: (string | undefined)[] = [];
  #headers: Headers | undefined;
  #query: URLSearchParams | undefined;
  #abort: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #log: Logger | undefined;
  #store: TempStore | undefined;

  /** Makes the execution of an INVOKE that has just come. */
  constructor(invoke: Invoke, surroundings: Surroundings) {
    this.#invoke = invoke;
    this.#surroundings = surroundings;
    this.deadlineAt = invoke.timeoutMs && performance.now() + invoke.timeoutMs;
  }

  #text(index: 0 | 1 | 2 | 3 | 4 | 5): string {
    return this.#texts[index] ??= this.#read(() => decodeText(this.#invoke.texts[index]));
  }

  #read<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (error instanceof FrameFault) this.#surroundings.fault(error);
      throw error;
    }
  }

  get execution_id(): string {
    return this.#text(0);
  }

  get function_id(): string {
    return this.#text(1);
  }

  get organization_id(): string {
    return this.#text(2);
  }

  get method(): string {
    return this.#text(3);
  }

  get path(): string {
    return this.#text(4);
  }

  get query(): URLSearchParams {
    return this.#query ??= new URLSearchParams(this.#text(5));
  }

  get headers(): Headers {
    return this.#headers ??= new Headers(this.#read(() => decodeHeaders(this.#invoke.headers)));
  }

  get deadline(): Date | null {
    return this.deadlineAt ? new Date(performance.timeOrigin + this.deadlineAt) : null;
  }

  remaining(): number {
    return this.deadlineAt ? Math.max(0, this.deadlineAt - performance.now()) : Infinity;
  }

  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.cancelled) this.#abort.abort(abortReason(this.cancelled));
      else if (this.answered) this.#abort.abort(new DOMException("the answer is complete", "AbortError"));
      else this.#watchDeadline();
    }
    return this.#abort.signal;
  }

  #watchDeadline(): void {
    if (!this.deadlineAt) return;
    // A timer holds at most 2^31 ms, which is no limit in effect.
    this.#timer = setTimeout(() => {
      this.#abort!.abort(abortReason(1));
      this.onCancel?.();
    }, Math.min(this.remaining(), 2 ** 31 - 1));
  }

  /** Whether the execution was asked to stop, by the host or by its deadline. */
  get isCancelled(): boolean {
    return this.cancelled !== 0 || this.#abort?.signal.aborted === true;
  }

  /** Whether a handler that failed with this stopped because it was asked to. */
  isCancellation(error: unknown): boolean {
    if (!this.isCancelled) return false;
    const name = (error as Error | undefined)?.name;
    return error === this.#abort?.signal.reason || name === "AbortError" || name === "TimeoutError";
  }

  /** Carries out CANCEL. */
  cancel(reason: CancelReason): void {
    if (this.cancelled) return;
    this.cancelled = reason;
    clearTimeout(this.#timer);
    this.#abort?.abort(abortReason(reason));
    this.onCancel?.();
  }

  /** Ends what belongs to the execution. */
  close(): void {
    this.answered = true;
    this.onCancel = undefined;
    if (!this.#abort) return;
    clearTimeout(this.#timer);
    this.#abort.abort(new DOMException("the answer is complete", "AbortError"));
  }

  get log(): Logger {
    if (!this.#log) {
      const at = (level: number) => (message: string, fields?: Record<string, unknown>) =>
        this.#surroundings.log(this, level, cut(String(message), LOG_LENGTH_MAX), formatFields(fields));
      this.#log = { trace: at(0), debug: at(1), info: at(2), warn: at(3), error: at(4) };
    }
    return this.#log;
  }

  get temp_store(): TempStore {
    return this.#store ??= new TempStore();
  }

  /** The three ids, as in the other languages where the context is shown. */
  toJSON(): Record<string, string> {
    const { execution_id, function_id, organization_id } = this;
    return { execution_id, function_id, organization_id };
  }
}

/** What {@link Context.signal} is aborted with. */
function abortReason(reason: CancelReason): DOMException {
  if (reason === 1) return new DOMException("the execution's time is up", "TimeoutError");
  return new DOMException(reason === 2 ? "the caller went away" : "the host is shutting down", "AbortError");
}

/** Fields as a JSON object, or nothing. A logger never throws: what cannot be written says so. */
function formatFields(fields: Record<string, unknown> | undefined): string {
  if (fields === undefined || fields === null) return "";
  let text: string | undefined;
  let reason = "no object";
  try {
    text = JSON.stringify(fields, (_key, value) => {
      if (typeof value === "bigint") return value.toString();
      // An Error has no field of its own that JSON would show.
      return value instanceof Error ? `${value.name}: ${value.message}` : value;
    });
  } catch (error) {
    reason = error instanceof Error ? error.message.split("\n", 1)[0]! : "cannot be written as JSON";
  }
  if (text?.[0] !== "{") return JSON.stringify({ fields_dropped: reason });
  return text.length > LOG_LENGTH_MAX ? '{"fields_dropped":"longer than 65536 characters"}' : text;
}
