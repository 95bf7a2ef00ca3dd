import assert from "node:assert/strict";
import * as frames from "../frames.ts";
import { Kind } from "../frames.ts";
import { Host } from "./host.ts";

function headers(result: frames.Result): Record<string, string> {
  return Object.fromEntries(result.headers);
}

Deno.test("bodies come back byte for byte", async () => {
  await using host = await Host.ready();
  const every = Uint8Array.from({ length: 256 }, (_, i) => i);
  const large = new Uint8Array(6 * 1024 * 1024);
  for (let i = 0; i < large.length; i++) large[i] = i * 7;
  const unicode = new TextEncoder().encode("größe 数 🦀");
  for (const path of ["/echo", "/echo-later"]) {
    for (const body of [every, new Uint8Array(0), unicode, large]) {
      const result = await host.call(path, body);
      assert.equal(result.status, 200);
      assert.deepEqual(headers(result), { "content-type": "application/octet-stream" });
      assert.ok(result.body.length === body.length && result.body.every((byte, i) => byte === body[i]));
    }
  }
});

Deno.test("the context shows the request", async () => {
  await using host = await Host.ready();
  const id = await host.invoke("", "", {
    timeoutUs: 30_000_000,
    texts: ["execution", "acme/test", "acme", "PATCH", "/context", "a=1&b=%20&a=%C3%BC"],
    headers: [["x-two", "a"], ["host", "h"], ["x-two", "b\xff"]],
  });
  assert.deepEqual(JSON.parse((await host.result(id)).text), {
    ids: { execution_id: "execution", function_id: "acme/test", organization_id: "acme" },
    method: "PATCH",
    path: "/context",
    query: ["1", "ü"],
    two: "a, b\xff",
    limited: true,
    aborted: false,
    socket: null,
  });
  assert.equal((await host.call("/no-limit")).text, "[null,true]");
  assert.equal((await host.call("/this")).text, "true"); // the worker does not show itself
});

Deno.test("each kind of result has its content type", async () => {
  await using host = await Host.ready();
  const answers: Record<string, string> = {};
  for (
    const path of ["/text", "/json", "/null", "/undefined", "/view", "/buffer", "/response-json", "/response-empty"]
  ) {
    const { status, headers, body } = await host.call(path);
    answers[path] = `${status} ${headers.flat().join(": ")} ${new TextDecoder("latin1").decode(body)}`;
  }
  const latin1 = (text: string) => new TextDecoder("latin1").decode(new TextEncoder().encode(text));
  assert.deepEqual(answers, {
    "/text": `200 content-type: text/plain; charset=utf-8 ${latin1("größe 🦀 \ufffd")}`,
    "/json": `200 content-type: application/json ${latin1('{"a":[1,"ü",null]}')}`,
    "/null": "200 content-type: application/json null",
    "/undefined": "204  ",
    "/view": "200 content-type: application/octet-stream \x01\x02",
    "/buffer": "200 content-type: application/octet-stream \x07",
    "/response-json": '200 content-type: application/json {"a":1}',
    "/response-empty": "204  ",
  });
});

Deno.test("a Response keeps its status and headers", async () => {
  await using host = await Host.ready();
  const { status, headers, text } = await host.call("/response");
  assert.equal(status, 201);
  assert.equal(text, "body");
  assert.deepEqual(headers, [
    ["content-type", "text/css"],
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
    ["x-latin", "\xfc"],
  ]);
});

Deno.test("failures are answered and the worker lives on", async () => {
  await using host = await Host.ready();
  const refused = "TypeError: the handler's result cannot be sent: ";
  for (
    const [path, want] of Object.entries({
      "/throw": "NotFound: it is not there",
      "/reject": "TypeError: rejected",
      "/throw-text": "Error: just text",
      "/throw-hostile": "Error: an error that cannot be shown",
      "/function": refused + "a function is no JSON value",
      "/response-used": refused + "the body of the Response was read already",
      "/response-1xx": refused + "status 0 is not within 200 and 599",
      "/stream-numbers": refused + "a stream of number, not of Uint8Array or string",
      "/large": "response_too_large: the answer of 33554478 bytes exceeds the limit of 33554432 bytes: stream it",
    })
  ) {
    const failure = await host.failure(await host.invoke(path));
    assert.equal(`${failure.type}: ${failure.message}`, want);
  }
  for (const path of ["/circular", "/stream-locked"]) {
    assert.equal((await host.failure(await host.invoke(path))).type, "TypeError");
  }
  const { trace } = await host.failure(await host.invoke("/throw"));
  assert.match(trace, /^NotFound: it is not there\n +at .*handler\.ts:\d+[^]*\nCaused by RangeError: deeper\n/);
  assert.equal((await host.call("/echo", "alive")).text, "alive");
});

Deno.test("what fails outside of a handler is logged and ends nobody", async () => {
  await using host = await Host.ready();
  for (
    const [path, what] of [["/stray-rejection", "unhandled rejection"], ["/stray-error", "uncaught error"]] as const
  ) {
    assert.equal((await host.call(path)).text, "answered");
    const log = await host.log(0);
    assert.equal(log.level, 4);
    assert.match(log.message, new RegExp(`^${what}: NotFound: stray\n +at `));
    assert.equal(log.fields, '{"type":"NotFound"}');
  }
  assert.equal((await host.call("/echo", "alive")).text, "alive");
});

Deno.test("executions run at once and are answered in any order", async () => {
  await using host = await Host.ready();
  const bodies = new Map<number, string>();
  for (let i = 0; i < 50; i++) bodies.set(await host.invoke("/wait", `body ${i}`), `body ${i}`);
  await host.call("/release");
  const order: unknown[] = [];
  for (let i = 0; i < 50; i++) {
    const frame = host.aside.shift() ?? await host.next(Kind.RESULT);
    order.push(frame.id);
    assert.equal(new TextDecoder().decode(frames.decodeResult(frame.payload).body), bodies.get(Number(frame.id)));
  }
  assert.deepEqual(order, [...bodies.keys()].reverse());
});

Deno.test("log records carry the execution's id", async () => {
  await using host = await Host.ready();
  const id = await host.invoke("/log");
  assert.deepEqual(await host.log(id), { level: 0, message: "fine", fields: "" });
  assert.deepEqual(await host.log(id), { level: 1, message: "two\nlines \ufffd", fields: '{"user":7}' });
  assert.deepEqual(await host.log(id), { level: 2, message: "odd", fields: '{"big":"10","error":"NotFound: x"}' });
  const bad = await host.log(id);
  assert.match(bad.fields, /^{"fields_dropped":"Converting circular structure/);
  const long = await host.log(id);
  assert.equal(long.message.length, 65536);
  assert.equal(long.fields, '{"fields_dropped":"longer than 65536 characters"}');
  await host.result(id);
  await host.call("/log-later");
  assert.equal((await host.log(0)).message, "later");
});

Deno.test("log records that come too fast are counted, not kept", async () => {
  await using host = await Host.ready();
  const id = await host.invoke("/log-flood");
  let taken = 0;
  let frame = await host.next();
  for (; frame.kind === Kind.LOG; frame = await host.next()) taken++;
  assert.equal(frame.kind, Kind.RESULT);
  assert.ok(taken > 100 && taken < 3000, `${taken} records`);
  const later = await host.invoke("/log");
  const dropped = await host.nextOf(0, Kind.LOG);
  assert.equal(frames.decodeLog(dropped.payload).fields, `{"dropped":${3000 - taken}}`);
  assert.ok(later > id);
});

Deno.test("the scratch store is gone with its execution", async () => {
  await using host = await Host.ready();
  for (let i = 0; i < 2; i++) assert.equal((await host.call("/store", "x")).text, '[0,"x"]');
});

Deno.test("CANCEL aborts the signal", async () => {
  await using host = await Host.ready();
  for (const [reason, message] of [[1, "the execution's time is up"], [2, "the caller went away"]] as const) {
    const id = await host.invoke("/until-cancelled");
    await host.log(id);
    await host.send((out) => frames.encodeCancel(out, id, reason));
    const failure = await host.failure(id);
    assert.deepEqual([failure.type, failure.message], ["cancelled", message]);
  }
  const id = await host.invoke("/ignores-cancel");
  await host.log(id);
  await host.send((out) => frames.encodeCancel(out, id, 3));
  assert.equal((await host.result(id)).text, "done anyway");
  // Unknown ids are no fault.
  await host.send((out) => {
    frames.encodeCancel(out, 9999, 2);
    frames.encodeCredit(out, 9999, 1);
  });
  await host.call("/echo");
});

Deno.test("the deadline aborts the signal without the host", async () => {
  await using host = await Host.ready();
  const texts: frames.InvokeFields["texts"] = ["e", "f", "o", "GET", "/until-cancelled", ""];
  const id = await host.invoke("", "", { timeoutUs: 1000, texts });
  assert.equal((await host.log(id)).message, "waiting");
  assert.equal((await host.failure(id)).type, "cancelled");
});

Deno.test("DRAIN lets what runs finish, then BYE", async () => {
  await using host = await Host.ready();
  const id = await host.invoke("/wait", "last");
  const release = await host.invoke("/release");
  await host.send((out) => frames.encodeEmpty(out, Kind.DRAIN, 0));
  assert.equal((await host.result(release)).text, "null");
  assert.equal((await host.result(id)).text, "last");
  await host.next(Kind.BYE);
  assert.equal((await host.exit()).code, 0);
});

Deno.test("a closed socket ends the worker", async () => {
  await using host = await Host.ready();
  await host.log(await host.invoke("/until-cancelled"));
  host.close();
  assert.deepEqual(await host.exit(), { code: 0, stderr: "" });
});

Deno.test("a handler may end the process", async () => {
  await using host = await Host.ready();
  await host.invoke("/exit");
  assert.equal((await host.exit()).code, 3);
});

Deno.test("a host that breaks the protocol ends the worker", async () => {
  const invoke = (change: (bytes: Uint8Array) => void) => (out: frames.FrameBuffer) => {
    frames.encodeInvoke(out, 1, {
      timeoutUs: 0,
      texts: ["a", "b", "c", "GET", "/context", ""],
      headers: [["x", "y"]],
      body: new Uint8Array(0),
    });
    change(out.contents());
  };
  const faults: Record<string, (out: frames.FrameBuffer) => void> = {
    "unknown kind": (out) => out.begin(99, 0, 0).finish(),
    "too long": (out) => out.raw(new Uint8Array([0, 0, 0, 255, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    "truncated INVOKE": (out) => out.begin(Kind.INVOKE, frames.END, 1).u32(0).u32(0).u16(9).finish(),
    "INVOKE without END": invoke((bytes) => bytes[5] = 0),
    "a path that is not UTF-8": invoke((bytes) => bytes[bytes.indexOf(47)] = 255),
    "a header block": invoke((bytes) => bytes[bytes.length - 3] = 200),
    "an id in flight": (out) => {
      for (let i = 0; i < 2; i++) {
        frames.encodeInvoke(out, 1, {
          timeoutUs: 0,
          texts: ["", "", "", "", "/wait", ""],
          headers: [],
          body: new Uint8Array(0),
        });
      }
    },
    "a worker's frame": (out) => frames.encodeEmpty(out, Kind.BYE, 0),
    "a second HELLO": (out) => out.begin(Kind.HELLO, 0, 0).finish(),
    "a cancel reason": (out) => frames.encodeCancel(out, 1, 9),
  };
  for (const [name, encode] of Object.entries(faults)) {
    await using host = await Host.ready();
    await host.send(encode);
    const { code, stderr } = await host.exit();
    assert.equal(code, 70, name);
    assert.match(stderr, /^ignite: the host broke the worker protocol: .*\n$/);
  }
});

Deno.test("more executions than agreed are a fault", async () => {
  await using host = await Host.ready();
  for (let i = 0; i < 65; i++) await host.invoke("/wait");
  assert.equal((await host.exit()).code, 70);
});
