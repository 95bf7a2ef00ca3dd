/**
 * Runs handlers in unit tests, without a server.
 *
 * ```ts
 * import { context, invoke } from "ignite/testing";
 * import { handler } from "./handler.ts";
 *
 * Deno.test("greets", async () => {
 *   const response = await invoke(handler, '{"name":"Ada"}');
 *   if ((await response.json()).greeting !== "hello, Ada") throw new Error("no greeting");
 * });
 * ```
 *
 * Keep the handler in a module of its own: importing the one that calls `start` serves it.
 *
 * @module
 */

import { toAnswer, toPart } from "./answer.ts";
import { type Context, Execution } from "./context.ts";
import { decodeInvoke, encodeInvoke, FrameBuffer, HEADER_BYTES } from "./frames.ts";
import type { Handler } from "./worker.ts";

/** One request. What is left out has a value of its own. */
export interface ContextOptions {
  /** POST where it is left out. */
  method?: string;
  /** Percent-encoded, `/` where it is left out. */
  path?: string;
  /** With or without the `?`. */
  query?: string | URLSearchParams;
  /** The request headers. */
  headers?: HeadersInit;
  /** Unique for every execution. */
  execution_id?: string;
  /** The app, as `organization/name`. */
  function_id?: string;
  /** The app's organization. */
  organization_id?: string;
  /** Time the execution has, in milliseconds; no limit where it is left out. */
  timeout_ms?: number;
}

/** A record written with `ctx.log`. */
export interface LogRecord {
  /** How grave it is. */
  level: "trace" | "debug" | "info" | "warn" | "error";
  /** The text. */
  message: string;
  /** The fields as the platform gets them; empty where there are none. */
  fields: Record<string, unknown>;
}

/** A context for a test, which shows what the handler logged. */
export interface TestContext extends Context {
  /** What was logged so far. */
  readonly logs: LogRecord[];
  /** Aborts `signal`, as the host does at the deadline, when the caller goes away, or when it shuts down. */
  abort(reason?: "deadline" | "disconnect" | "shutdown"): void;
}

const LEVELS = ["trace", "debug", "info", "warn", "error"] as const;
const REASONS = { deadline: 1, disconnect: 2, shutdown: 3 } as const;

class TestExecution extends Execution implements TestContext {
  readonly logs: LogRecord[];

  constructor(frame: Uint8Array<ArrayBuffer>) {
    const logs: LogRecord[] = [];
    super(decodeInvoke(frame), {
      log: (_execution, level, message, fields) =>
        logs.push({ level: LEVELS[level]!, message, fields: fields ? JSON.parse(fields) : {} }),
      fault: () => {},
    });
    this.logs = logs;
  }

  abort(reason: keyof typeof REASONS = "disconnect"): void {
    this.cancel(REASONS[reason]);
  }
}

/** Makes a context for a handler, or a part of one, that a test calls itself. */
export function context(options: ContextOptions = {}): TestContext {
  const frames = new FrameBuffer(1024);
  // Through the codec, so that the handler sees what it would see.
  encodeInvoke(frames, 1, {
    timeoutUs: Math.round((options.timeout_ms ?? 0) * 1000),
    texts: [
      options.execution_id ?? "01TEST00000000000000000000",
      options.function_id ?? "test/function",
      options.organization_id ?? "test",
      options.method ?? "POST",
      options.path ?? "/",
      String(options.query ?? "").replace(/^\?/, ""),
    ],
    headers: [...new Headers(options.headers)],
    body: new Uint8Array(0),
  });
  return new TestExecution(frames.contents().subarray(HEADER_BYTES));
}

/**
 * Calls the handler once and gives its answer as a caller would get it, but for the platform's own limits. Rejects with
 * what the handler throws, and with a TypeError where its result cannot be sent.
 */
export async function invoke(
  handler: Handler,
  payload: Uint8Array | string = "",
  ctx: Context = context(),
): Promise<Response> {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : new Uint8Array(payload);
  const answer = toAnswer(await handler(bytes, ctx));
  const { status } = answer;
  const headers = [...answer.headers];
  if (!(answer.body instanceof ReadableStream)) {
    const body = status === 204 || status === 205 || status === 304 ? null : answer.body as BodyInit;
    return new Response(body, { status, headers });
  }
  const parts = answer.body.pipeThrough(
    new TransformStream<unknown, Uint8Array>({
      transform: (part, controller) => controller.enqueue(toPart(part)),
    }),
  );
  return new Response(parts as ReadableStream<Uint8Array<ArrayBuffer>>, { status, headers });
}
