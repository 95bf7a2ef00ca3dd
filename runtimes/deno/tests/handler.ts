/** The program that the tests serve: it does what the path says. */

import { type Context, type HandlerResult, start } from "ignite";

class NotFound extends Error {
  override name = "NotFound";
}

const waiting: (() => void)[] = [];
let cancelledStreams = 0;

type Case = (payload: Uint8Array<ArrayBuffer>, ctx: Context) => HandlerResult | Promise<HandlerResult>;

const cases: Record<string, Case> = {
  "/echo": (payload) => payload,
  "/echo-later": async (payload) => {
    await new Promise((resolve) => setTimeout(resolve, 0));
    return payload;
  },
  "/context": (_, ctx) => ({
    ids: ctx,
    method: ctx.method,
    path: ctx.path,
    query: ctx.query.getAll("a"),
    two: ctx.headers.get("x-two"),
    limited: ctx.deadline !== null && ctx.remaining() > 0 && ctx.remaining() <= 30_000,
    aborted: ctx.signal.aborted,
    socket: Deno.env.get("IGNITE_WORKER_SOCKET") ?? null,
  }),
  "/no-limit": (_, ctx) => [ctx.deadline, ctx.remaining() === Infinity],
  "/text": () => "größe 🦀 \ud800",
  "/json": () => ({ a: [1, "ü", null] }),
  "/null": () => null,
  "/undefined": () => undefined,
  "/view": () => new DataView(new Uint8Array([0, 1, 2, 3]).buffer, 1, 2),
  "/buffer": () => new Uint8Array([7]).buffer,
  "/response": () => {
    const headers = new Headers({ "content-type": "text/css", "x-latin": "\xfc" });
    headers.append("set-cookie", "a=1");
    headers.append("set-cookie", "b=2");
    return new Response("body", { status: 201, headers });
  },
  "/response-json": () => Response.json({ a: 1 }),
  "/response-empty": () => new Response(null, { status: 204 }),
  "/response-used": async () => {
    const response = new Response("x");
    await response.text();
    return response;
  },
  "/response-1xx": () => Response.error(),
  "/function": () => () => {},
  "/circular": () => {
    const value: Record<string, unknown> = {};
    value.self = value;
    return value;
  },
  "/throw": () => {
    throw new NotFound("it is not there", { cause: new RangeError("deeper") });
  },
  "/reject": () => Promise.reject(new TypeError("rejected")),
  "/throw-text": () => {
    throw "just text";
  },
  "/throw-hostile": () => {
    throw {
      toJSON() {
        throw new Error("no");
      },
    };
  },
  "/exit": () => Deno.exit(3),
  "/stray-rejection": () => {
    Promise.reject(new NotFound("stray"));
    return "answered";
  },
  "/stray-error": () => {
    setTimeout(() => {
      throw new NotFound("stray");
    }, 0);
    return "answered";
  },
  "/wait": async (payload) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return payload;
  },
  // The last that waits is answered first.
  "/release": () => {
    for (const resolve of waiting.splice(0).reverse()) resolve();
    return null;
  },
  "/until-cancelled": async (_, ctx) => {
    ctx.log.info("waiting");
    await aborted(ctx);
    throw ctx.signal.reason;
  },
  "/ignores-cancel": async (_, ctx) => {
    ctx.log.info("waiting");
    await aborted(ctx);
    return "done anyway";
  },
  "/log": (_, ctx) => {
    ctx.log.trace("fine");
    ctx.log.debug("two\nlines \ud800", { user: 7 });
    ctx.log.info("odd", { big: 10n, error: new NotFound("x") });
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    ctx.log.warn("bad", circular);
    ctx.log.error("x".repeat(100_000), { long: "x".repeat(100_000) });
    return null;
  },
  "/log-later": (_, ctx) => {
    setTimeout(() => ctx.log.info("later"), 0);
    return null;
  },
  "/log-flood": (_, ctx) => {
    for (let i = 0; i < 3000; i++) ctx.log.info("x".repeat(10_000));
    return "done";
  },
  "/store": (payload, ctx) => {
    const before = ctx.temp_store.list();
    ctx.temp_store.put("a", payload);
    return [before.length, ctx.temp_store.text("a")];
  },
  "/stream": (payload) => parts(payload, 1000),
  "/stream-response": (payload) =>
    new Response(ReadableStream.from(parts(payload, 1000)), {
      status: 203,
      headers: { "content-type": "text/event-stream" },
    }),
  "/stream-text": () => ReadableStream.from(["größe ", "🦀"]),
  "/stream-slow": (_, ctx) =>
    new ReadableStream({
      async pull(controller) {
        await aborted(ctx);
        controller.close();
      },
      cancel() {
        cancelledStreams++;
      },
    }),
  "/stream-endless": (payload) =>
    new ReadableStream({
      pull(controller) {
        controller.enqueue(payload);
      },
      cancel() {
        cancelledStreams++;
      },
    }),
  "/stream-error": () =>
    ReadableStream.from((async function* () {
      yield "part";
      await new Promise((resolve) => setTimeout(resolve, 0));
      throw new NotFound("broke off");
    })()),
  "/stream-numbers": () => ReadableStream.from([1, 2]),
  "/stream-locked": () => {
    const stream = ReadableStream.from(["x"]);
    stream.getReader();
    return stream;
  },
  "/cancelled-streams": () => cancelledStreams,
  "/large": () => new Uint8Array(32 * 1024 * 1024),
};

async function* parts(payload: Uint8Array, count: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield await Promise.resolve(payload);
}

function aborted(ctx: Context): Promise<void> {
  return new Promise((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
}

start(function (this: unknown, payload, ctx) {
  if (ctx.path === "/this") return this === undefined;
  const handler = cases[ctx.path];
  if (!handler) throw new NotFound(ctx.path);
  return handler(payload, ctx);
});
