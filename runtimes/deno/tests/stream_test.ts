import assert from "node:assert/strict";
import * as frames from "../frames.ts";
import { END, Kind } from "../frames.ts";
import { HELLO, Host } from "./host.ts";

/** Reads a streamed answer, grants credit as it goes, and never sees more under way than was granted. */
async function takeStream(host: Host, id: number): Promise<{ result: frames.Result; bytes: number; text: string }> {
  let frame = await host.nextOf(id, Kind.RESULT);
  const result = frames.decodeResult(frame.payload);
  const decoder = new TextDecoder();
  let text = decoder.decode(result.body, { stream: true });
  let bytes = result.body.length;
  let granted = HELLO.windowBytes;
  while (frame.flags !== END) {
    frame = await host.nextOf(id, Kind.CHUNK);
    bytes += frame.payload.length;
    text += decoder.decode(frame.payload, { stream: true });
    assert.ok(bytes <= granted, `${bytes} bytes with credit for ${granted}`);
    if (granted - bytes < HELLO.windowBytes / 2) {
      await host.send((out) => frames.encodeCredit(out, id, 100_000));
      granted += 100_000;
    }
  }
  return { result, bytes, text };
}

Deno.test("streams arrive whole and within their credit", async () => {
  await using host = await Host.ready();
  const part = "0123456789".repeat(100);
  for (
    const [path, status, type] of [
      ["/stream", 200, "application/octet-stream"],
      ["/stream-response", 203, "text/event-stream"],
    ] as const
  ) {
    const { result, text } = await takeStream(host, await host.invoke(path, part));
    assert.equal(result.status, status);
    assert.deepEqual(result.headers, [["content-type", type]]);
    assert.ok(text === part.repeat(1000));
  }
  const { text } = await takeStream(host, await host.invoke("/stream-text"));
  assert.equal(text, "größe 🦀");
  // A part larger than the window.
  const large = await takeStream(host, await host.invoke("/stream", new Uint8Array(3000)));
  assert.equal(large.bytes, 3_000_000);
});

Deno.test("a short body that is at hand is one frame", async () => {
  await using host = await Host.ready();
  for (const path of ["/response", "/response-json", "/stream-text"]) {
    assert.equal((await host.nextOf(await host.invoke(path), Kind.RESULT)).flags, END, path);
  }
});

Deno.test("the head of a stream does not wait for its body", async () => {
  await using host = await Host.ready();
  const id = await host.invoke("/stream-slow");
  assert.equal((await host.nextOf(id, Kind.RESULT)).flags, 0);
  await host.send((out) => frames.encodeCancel(out, id, 2));
  assert.equal((await host.failure(id)).type, "cancelled");
});

Deno.test("a stream without credit stops, and CANCEL ends it", async () => {
  await using host = await Host.ready();
  const id = await host.invoke("/stream-endless", new Uint8Array(1000));
  let taken = (frames.decodeResult((await host.nextOf(id, Kind.RESULT)).payload)).body.length;
  while (taken < HELLO.windowBytes) taken += (await host.nextOf(id, Kind.CHUNK)).payload.length;
  assert.equal(taken, HELLO.windowBytes);
  // Another execution is answered meanwhile, and nothing more of the stream came before its answer.
  await host.call("/echo-later");
  assert.equal(host.aside.length, 0);
  await host.send((out) => frames.encodeCredit(out, id, 1));
  assert.equal((await host.nextOf(id, Kind.CHUNK)).payload.length, 1);
  await host.send((out) => frames.encodeCancel(out, id, 2));
  assert.equal((await host.failure(id)).type, "cancelled");
  assert.equal((await host.call("/cancelled-streams")).text, "1");
});

Deno.test("the deadline ends a stream whose handler never asked for it", async () => {
  await using host = await Host.ready();
  const texts: frames.InvokeFields["texts"] = ["e", "f", "o", "GET", "/stream-endless", ""];
  const id = await host.invoke("", new Uint8Array(1000), { timeoutUs: 20_000, texts });
  let frame = await host.nextOf(id, Kind.RESULT);
  while (frame.kind !== Kind.ERROR) frame = await host.nextOf(id);
  assert.equal(frames.decodeFailure(frame.payload).type, "cancelled");
});

Deno.test("a stream that fails is broken off", async () => {
  await using host = await Host.ready();
  const id = await host.invoke("/stream-error");
  assert.equal((await host.nextOf(id, Kind.RESULT)).flags, 0);
  assert.equal(new TextDecoder().decode((await host.nextOf(id, Kind.CHUNK)).payload), "part");
  const failure = await host.failure(id);
  assert.deepEqual([failure.type, failure.message], ["NotFound", "broke off"]);
});

Deno.test("DRAIN waits for a stream that needs credit", async () => {
  await using host = await Host.ready();
  const id = await host.invoke("/stream", new Uint8Array(1000));
  await host.send((out) => frames.encodeEmpty(out, Kind.DRAIN, 0));
  // All the credit at once: the worker may be gone before a host that grants little by little is done with it.
  await host.nextOf(id, Kind.RESULT);
  await host.send((out) => frames.encodeCredit(out, id, 1_000_000));
  let bytes = 0;
  for (let frame = await host.next(Kind.CHUNK);; frame = await host.next(Kind.CHUNK)) {
    bytes += frame.payload.length;
    if (frame.flags === END) break;
  }
  assert.equal(bytes, 1_000_000);
  await host.next(Kind.BYE);
  assert.equal((await host.exit()).code, 0);
});
