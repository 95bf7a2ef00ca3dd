/**
 * Serves a TypeScript or JavaScript function on Ignite.
 *
 * ```ts
 * import { type Context, start } from "ignite";
 *
 * start((payload: Uint8Array, ctx: Context) => {
 *   const { name } = JSON.parse(new TextDecoder().decode(payload));
 *   ctx.log.info("greeting", { name });
 *   return { greeting: `hello, ${name}` };
 * });
 * ```
 *
 * `ignite run .` serves it on a local port. The program has no HTTP server of its own: a runtime host owns the port, the
 * limits, the logs and the health probe, and passes each request to the handler.
 *
 * What a handler throws, or its promise rejects with, is answered with status 500; the process and its other executions
 * go on. Executions share one thread: code that computes for long keeps the others waiting.
 *
 * @module
 */

import { describeError } from "./answer.ts";
import { FunctionWorker, type Handler } from "./worker.ts";

export type { Context, Logger } from "./context.ts";
export type { HandlerResult } from "./answer.ts";
export type { Handler } from "./worker.ts";
export { StoreFullError, TempStore } from "./store.ts";

const ENV_SOCKET = "IGNITE_WORKER_SOCKET";
let started = false;

/**
 * Serves the handler. Returns at once; the process ends when its host says so. Call it once, at the top level of the
 * program, after whatever the handler needs is ready. A program that was not started by a host says on stderr how to
 * serve it and exits with status 2.
 *
 * @throws {Error} where it was called before.
 */
export function start(handler: Handler): void {
  if (started) throw new Error("start was called twice: a program serves one handler");
  started = true;
  const path = takeSocketPath();
  if (path === undefined) exit(2, "this program is an Ignite function; serve it with `ignite run .`");
  Deno.connect({ transport: "unix", path }).then(async (connection) => {
    const worker = new FunctionWorker(handler, connection);
    // From READY on: until then a failure is one of loading the program, and is to end it.
    const { status, message } = await worker.run(() => keepAlive(worker));
    exit(status, message);
  }, (error) => exit(2, `could not connect to the host: ${error}`));
}

/**
 * What fails outside of any execution is logged in place of ending the process, and with it everybody else's
 * executions.
 */
function keepAlive(worker: FunctionWorker): void {
  const report = (event: Event, what: string, error: unknown) => {
    event.preventDefault();
    const { type, message, trace } = describeError(error);
    worker.log(null, 4, `${what}: ${trace || message}`, JSON.stringify({ type }));
  };
  addEventListener("unhandledrejection", (event) => report(event, "unhandled rejection", event.reason));
  addEventListener("error", (event) => report(event, "uncaught error", event.error));
}

/** Reads the variable and removes it, so that programs the handler starts do not find it. */
function takeSocketPath(): string | undefined {
  // Asked first, because a program started by hand without permissions would put the question to its user.
  const state = Deno.permissions.querySync({ name: "env", variable: ENV_SOCKET }).state;
  const path = state === "granted" ? Deno.env.get(ENV_SOCKET) : undefined;
  if (path !== undefined) Deno.env.delete(ENV_SOCKET);
  return path;
}

function exit(status: number, message?: string): never {
  if (message !== undefined) console.error(`ignite: ${message}`);
  Deno.exit(status);
}
