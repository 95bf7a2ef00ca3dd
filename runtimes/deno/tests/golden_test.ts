import assert from "node:assert/strict";
import * as frames from "../frames.ts";
import { FrameBuffer, FrameFault, Kind } from "../frames.ts";

interface Golden {
  name: string;
  number: number;
  flags: number;
  id: string;
  hex: string;
  fields: Record<string, unknown>;
}

const file = JSON.parse(
  await Deno.readTextFile(new URL("../../../core/abi/golden/frames.json", import.meta.url)),
) as { abi_version: number; frames: Golden[] };

/** The fields in the words of the golden file, and the frame encoded from them; `null` for the frames of zygotes. */
function recode(
  header: frames.FrameHeader,
  payload: Uint8Array<ArrayBuffer>,
): [Record<string, unknown>, FrameBuffer] | null {
  const out = new FrameBuffer(8); // small, so that it has to grow
  const { id, flags } = header;
  switch (header.kind) {
    case Kind.HELLO: {
      const hello = frames.decodeHello(payload);
      frames.encodeHello(out, hello);
      return [{
        abi_version: hello.version,
        frame_bytes_max: hello.frameBytesMax,
        stream_window_bytes: hello.windowBytes,
        max_concurrency: hello.maxConcurrency,
      }, out];
    }
    case Kind.INVOKE: {
      const { timeoutMs, texts, headers, body } = frames.decodeInvoke(payload);
      const [execution_id, function_id, organization_id, method, path, query] = texts.map(frames.decodeText) as [
        string,
        string,
        string,
        string,
        string,
        string,
      ];
      const fields = { execution_id, function_id, organization_id, method, path, query };
      const pairs = frames.decodeHeaders(headers);
      const timeout_us = timeoutMs * 1000;
      frames.encodeInvoke(out, id, {
        timeoutUs: timeout_us,
        texts: [execution_id, function_id, organization_id, method, path, query],
        headers: pairs,
        body,
      });
      return [{ ...fields, timeout_us, headers: hexHeaders(pairs), body: body.toHex() }, out];
    }
    case Kind.CANCEL: {
      const reason = frames.decodeCancel(payload);
      frames.encodeCancel(out, id, reason);
      return [{ reason }, out];
    }
    case Kind.CREDIT: {
      const bytes = frames.decodeCredit(payload);
      frames.encodeCredit(out, id, bytes);
      return [{ bytes }, out];
    }
    case Kind.DRAIN:
    case Kind.BYE:
      frames.encodeEmpty(out, header.kind, id);
      return [{}, out];
    case Kind.READY: {
      const ready = frames.decodeReady(payload);
      frames.encodeReady(out, ready);
      const { version, maxConcurrency, zygote, sdk } = ready;
      return [{ abi_version: version, max_concurrency: maxConcurrency, zygote, sdk }, out];
    }
    case Kind.RESULT: {
      const result = frames.decodeResult(payload);
      frames.encodeResult(out, id, flags, result);
      const { status, headers, body } = result;
      return [{ status, headers: hexHeaders(headers), body: body.toHex() }, out];
    }
    case Kind.CHUNK:
      frames.encodeChunk(out, id, flags, payload);
      return [{ body: payload.toHex() }, out];
    case Kind.ERROR:
    case Kind.INIT_ERROR: {
      const failure = frames.decodeFailure(payload);
      frames.encodeFailure(out, header.kind, id, failure);
      return [{ ...failure }, out];
    }
    case Kind.LOG: {
      const log = frames.decodeLog(payload);
      frames.encodeLog(out, id, log);
      return [{ ...log }, out];
    }
    default:
      return null;
  }
}

function hexHeaders(headers: [string, string][]): [string, string][] {
  return headers.map(([name, value]) => [name, Uint8Array.from(value, (unit) => unit.charCodeAt(0)).toHex()]);
}

Deno.test("there are golden frames of this version", () => {
  assert.equal(file.abi_version, frames.VERSION);
  assert.ok(file.frames.length >= 18);
});

for (const golden of file.frames) {
  Deno.test(`golden ${golden.name}`, () => {
    const bytes = Uint8Array.fromHex(golden.hex);
    const header = frames.decodeHeader(bytes, 0, frames.FRAME_BYTES_MAX);
    assert.equal(header.kind, golden.number);
    assert.equal(header.flags, golden.flags);
    assert.equal(String(header.id), golden.id);
    assert.equal(header.length, bytes.length - frames.HEADER_BYTES);
    const recoded = recode(header, bytes.slice(frames.HEADER_BYTES));
    if (recoded === null) {
      assert.ok(header.kind >= Kind.FORK, "a kind is not covered");
      return;
    }
    assert.deepEqual(recoded[0], golden.fields);
    assert.equal(recoded[1].contents().toHex(), golden.hex);
  });
}

Deno.test("a truncated payload is a fault and nothing else", () => {
  for (const golden of file.frames) {
    const bytes = Uint8Array.fromHex(golden.hex);
    const header = frames.decodeHeader(bytes, 0, frames.FRAME_BYTES_MAX);
    const runsToTheEnd = header.kind === Kind.INVOKE || header.kind === Kind.RESULT || header.kind === Kind.CHUNK ||
      header.kind === Kind.LOG || header.length === 0 || header.kind >= Kind.FORK;
    for (let cut = frames.HEADER_BYTES; cut < bytes.length; cut++) {
      let failed = false;
      try {
        recode(header, bytes.slice(frames.HEADER_BYTES, cut));
      } catch (error) {
        failed = true;
        assert.ok(error instanceof FrameFault, String(error));
      }
      assert.ok(failed || runsToTheEnd, `${golden.name} cut to ${cut} bytes is accepted`);
    }
  }
});

Deno.test("a malformed header is a fault", () => {
  const good = new FrameBuffer(16);
  frames.encodeEmpty(good, Kind.DRAIN, 1);
  for (const [at, value] of [[4, 0], [4, 6], [4, 23], [4, 255], [5, 2], [6, 1], [7, 1], [3, 255]] as const) {
    const bad = good.contents().slice();
    bad[at] = value;
    assert.throws(() => frames.decodeHeader(bad, 0, frames.FRAME_BYTES_MAX), FrameFault);
  }
});

Deno.test("long texts are cut at a character", () => {
  const out = new FrameBuffer(16);
  encodeType(out, "ß".repeat(40_000));
  const { type } = frames.decodeFailure(out.contents().slice(frames.HEADER_BYTES));
  assert.equal(type, "ß".repeat(32_767));
  assert.equal(frames.cut("a🦀", 2), "a");
  assert.equal(frames.cut("a🦀", 3), "a🦀");
});

function encodeType(out: FrameBuffer, type: string): void {
  frames.encodeFailure(out, Kind.ERROR, 1, { type, message: "\ud800 alone", trace: "" });
}

Deno.test("what is not Unicode becomes Unicode", () => {
  const out = new FrameBuffer(16);
  encodeType(out, "E");
  assert.equal(frames.decodeFailure(out.contents().slice(frames.HEADER_BYTES)).message, "\ufffd alone");
});

Deno.test("an invocation shares no memory with the payload it came in", () => {
  const out = new FrameBuffer(16);
  frames.encodeInvoke(out, 2 ** 40, {
    timeoutUs: 0,
    texts: ["", "", "", "GET", "/", ""],
    headers: [],
    body: new Uint8Array([1, 2]),
  });
  assert.equal(frames.decodeHeader(out.bytes, 0, 1000).id, 2 ** 40);
  const payload = out.contents().slice(frames.HEADER_BYTES);
  const { body } = frames.decodeInvoke(payload);
  assert.equal(body.buffer.byteLength, 2);
  payload.fill(0);
  assert.deepEqual([...body], [1, 2]);
});
