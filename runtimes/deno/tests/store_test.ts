import assert from "node:assert/strict";
import { StoreFullError, TEMP_STORE_BYTES_MAX, TempStore } from "../store.ts";

Deno.test("the store keeps copies", () => {
  const store = new TempStore();
  const value = new Uint8Array([1, 2]);
  store.put("k", value);
  value[0] = 9;
  store.get("k")![1] = 9;
  assert.deepEqual([...store.get("k")!], [1, 2]);
  store.put("text", "größe");
  assert.equal(store.text("text"), "größe");
  assert.equal(store.get("other"), undefined);
  assert.equal(store.text("other"), undefined);
  assert.deepEqual(store.list(), ["k", "text"]);
  assert.deepEqual(store.list("te"), ["text"]);
  assert.ok(store.delete("k"));
  assert.ok(!store.delete("k"));
});

Deno.test("the store is bounded", () => {
  const store = new TempStore();
  const half = new Uint8Array(TEMP_STORE_BYTES_MAX / 2 - 64 - 3);
  store.put("a", half);
  store.put("b", half);
  assert.throws(() => store.put("c", ""), StoreFullError);
  store.put("a", half); // in place of one of the same size
  assert.deepEqual(store.list(), ["a", "b"]);
  store.delete("a");
  store.put("c", "");
});
