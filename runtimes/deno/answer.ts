/**
 * What a handler may return, and what it means as an HTTP answer.
 *
 * @module
 */

/**
 * What a handler may return.
 *
 * | value | body | content type |
 * | --- | --- | --- |
 * | string | UTF-8 | `text/plain; charset=utf-8` |
 * | Uint8Array, any other view, ArrayBuffer | as it is | `application/octet-stream` |
 * | Response | streamed or as it is | its own, with its status and headers |
 * | ReadableStream or another async iterable of Uint8Array or string | streamed | `application/octet-stream` |
 * | undefined | none, status 204 | none |
 * | anything else | JSON | `application/json` |
 */
export type HandlerResult = string | number | boolean | null | undefined | void | object;

/** An answer whose body is at hand, or is a stream. */
export interface Answer {
  /** 200 to 599. */
  status: number;
  /** Lower-case names and values whose units are bytes. */
  headers: Iterable<[string, string]>;
  /** The body. */
  body: string | Uint8Array | ReadableStream<unknown>;
}

const TEXT: [string, string][] = [["content-type", "text/plain; charset=utf-8"]];
const BYTES: [string, string][] = [["content-type", "application/octet-stream"]];
const JSON_TYPE: [string, string][] = [["content-type", "application/json"]];
const EMPTY = new Uint8Array(0);

/** An error of an answer that HTTP cannot carry. */
function refuse(message: string): TypeError {
  return new TypeError(`the handler's result cannot be sent: ${message}`);
}

/** Turns what a handler returned into an answer; throws a TypeError where it cannot be sent. */
export function toAnswer(result: unknown): Answer {
  if (typeof result === "string") return { status: 200, headers: TEXT, body: result };
  if (result instanceof Uint8Array) return { status: 200, headers: BYTES, body: result };
  if (result === undefined) return { status: 204, headers: [], body: EMPTY };
  if (typeof result === "object" && result !== null) {
    if (result instanceof Response) return fromResponse(result);
    if (result instanceof ReadableStream) return { status: 200, headers: BYTES, body: result };
    if (ArrayBuffer.isView(result)) {
      return { status: 200, headers: BYTES, body: new Uint8Array(result.buffer, result.byteOffset, result.byteLength) };
    }
    if (result instanceof ArrayBuffer) return { status: 200, headers: BYTES, body: new Uint8Array(result) };
    if (Symbol.asyncIterator in result) {
      return { status: 200, headers: BYTES, body: ReadableStream.from(result as AsyncIterable<unknown>) };
    }
  }
  const text = JSON.stringify(result);
  if (text === undefined) throw refuse(`a ${typeof result} is no JSON value`);
  return { status: 200, headers: JSON_TYPE, body: text };
}

function fromResponse(response: Response): Answer {
  const { status, headers } = response;
  if (status < 200 || status > 599) throw refuse(`status ${status} is not within 200 and 599`);
  if (response.bodyUsed) throw refuse("the body of the Response was read already");
  return { status, headers, body: response.body ?? EMPTY };
}

/** A part of a streamed body as bytes; throws a TypeError for anything but bytes and text. */
export function toPart(part: unknown): Uint8Array {
  if (part instanceof Uint8Array) return part;
  if (typeof part === "string") return new TextEncoder().encode(part);
  if (ArrayBuffer.isView(part)) return new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
  if (part instanceof ArrayBuffer) return new Uint8Array(part);
  throw refuse(`a stream of ${part === null ? "null" : typeof part}, not of Uint8Array or string`);
}

/** What an error is called, says and shows. */
export function describeError(error: unknown): { type: string; message: string; trace: string } {
  try {
    if (error instanceof Error) {
      return {
        type: String(error.name || "Error"),
        message: String(error.message),
        trace: typeof error.stack === "string" ? withCauses(error) : "",
      };
    }
    const message = typeof error === "object" && error !== null ? JSON.stringify(error) : String(error);
    return { type: "Error", message, trace: "" };
  } catch {
    // Whatever was thrown, its own code runs while it is described.
    return { type: "Error", message: "an error that cannot be shown", trace: "" };
  }
}

/** The stack of an error and of what caused it. */
function withCauses(error: Error): string {
  let text = String(error.stack);
  let cause = error.cause;
  for (let depth = 0; depth < 8 && cause instanceof Error; depth++) {
    text += `\nCaused by ${cause.stack}`;
    cause = cause.cause;
  }
  return text;
}
