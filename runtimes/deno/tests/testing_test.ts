import assert from "node:assert/strict";
import type { Context } from "ignite";
import { context, invoke } from "ignite/testing";

Deno.test("a context for tests shows what it is given", () => {
  const ctx = context({ path: "/p", query: "?a=1", headers: { "X-A": "b" }, execution_id: "e", timeout_ms: 1000 });
  assert.equal(ctx.execution_id, "e");
  assert.equal(ctx.function_id, "test/function");
  assert.equal(ctx.method, "POST");
  assert.equal(ctx.path, "/p");
  assert.equal(ctx.query.get("a"), "1");
  assert.equal(ctx.headers.get("x-a"), "b");
  assert.ok(ctx.remaining() > 0 && ctx.remaining() <= 1000);
  ctx.log.info("hello", { user: 7 });
  assert.deepEqual(ctx.logs, [{ level: "info", message: "hello", fields: { user: 7 } }]);
  ctx.temp_store.put("a", "b");
  assert.equal(ctx.temp_store.text("a"), "b");
});

Deno.test("a test can abort an execution", () => {
  const ctx = context();
  const { signal } = ctx;
  ctx.abort("deadline");
  assert.ok(signal.aborted);
  assert.equal(signal.reason.name, "TimeoutError");
  const other = context();
  other.abort();
  assert.equal(other.signal.reason.name, "AbortError");
});

Deno.test("a handler runs without a server", async () => {
  const greet = (payload: Uint8Array, ctx: Context) => ({ hello: new TextDecoder().decode(payload), path: ctx.path });
  const response = await invoke(greet, "Ada", context({ path: "/x" }));
  assert.equal(response.headers.get("content-type"), "application/json");
  assert.deepEqual(await response.json(), { hello: "Ada", path: "/x" });
  assert.equal((await invoke(() => undefined)).status, 204);
  assert.equal(await (await invoke(() => ReadableStream.from(["a", "ü"]))).text(), "aü");
  await assert.rejects(
    invoke(() => {
      throw new RangeError("no");
    }),
    RangeError,
  );
  await assert.rejects(invoke(() => () => {}), TypeError);
});
