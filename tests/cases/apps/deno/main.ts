/** Answers every case by path; see tests/cases/behaviour. */
import { type Context, start } from "ignite";

type Case = (payload: Uint8Array, ctx: Context) => unknown;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function parts(
  count: number,
  part: (index: number) => string | Uint8Array,
  pause: number,
) {
  let index = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (index === count) return controller.close();
      const next = part(index++);
      controller.enqueue(
        typeof next === "string" ? encoder.encode(next) : next,
      );
      if (pause > 0) await wait(pause);
    },
  });
}

function plain(body: ReadableStream<Uint8Array>): Response {
  return new Response(body, { headers: { "content-type": "text/plain" } });
}

const cases: Record<string, Case> = {
  echo: (payload) => payload,
  text: (payload) => decoder.decode(payload) + "!",
  json: (payload) => {
    const asked = JSON.parse(decoder.decode(payload));
    const sum = asked.numbers.reduce((a: number, b: number) => a + b, 0);
    return { sum, name: asked.name, list: [true, "x", { deep: "ü" }] };
  },
  status: (_payload, ctx) => {
    const status = Number(ctx.query.get("code"));
    const headers = new Headers({
      "x-case": "yes",
      "content-type": "text/x-case",
    });
    headers.append("set-cookie", "a=1");
    headers.append("set-cookie", "b=2");
    return new Response(status === 204 ? null : "made", { status, headers });
  },
  raise: () => {
    throw new RangeError("no such colour: mauve");
  },
  panic: () => {
    throw "out of paint";
  },
  exit: () => Deno.exit(3),
  hang: () => new Promise(() => {}),
  spin: () => {
    for (;;);
  },
  stream: () => plain(parts(5, (index) => `part ${index}\n`, 50)),
  "stream-fail": () => {
    let sent = false;
    return plain(
      new ReadableStream({
        async pull(controller) {
          if (sent) {
            await wait(50);
            throw new Error("no more parts");
          }
          sent = true;
          controller.enqueue(encoder.encode("part 0\n"));
        },
      }),
    );
  },
  "stream-large": (_payload, ctx) => {
    const part = new Uint8Array(65536).fill(120);
    const count = Number(ctx.query.get("bytes")) / part.length;
    return plain(parts(count, () => part, 0));
  },
  context: (_payload, ctx) => {
    const left = ctx.remaining();
    return {
      execution_id: ctx.execution_id,
      function_id: ctx.function_id,
      organization_id: ctx.organization_id,
      method: ctx.method,
      path: ctx.path,
      query_b: ctx.query.get("b"),
      header: ctx.headers.get("x-case"),
      deadline_is_near: left > 0 && left <= 2000,
    };
  },
  env: (_payload, ctx) => Deno.env.get(ctx.query.get("name")!) ?? "",
  scratch: (payload, ctx) => {
    const store = ctx.temp_store;
    const before = store.list();
    store.put("first", payload);
    store.put("second", encoder.encode("2"));
    const got = decoder.decode(store.get("first"));
    store.delete("first");
    return { before, got, after_delete: store.list() };
  },
  sleep: async (_payload, ctx) => {
    const ms = ctx.query.get("ms")!;
    await wait(Number(ms));
    return ms;
  },
  log: (_payload, ctx) => {
    console.log("a printed line");
    console.error("an error line");
    ctx.log.warn("a record", { colour: "mauve" });
    return "logged";
  },
};

start((payload, ctx) => cases[ctx.path.split("/")[1]](payload, ctx) as string);
