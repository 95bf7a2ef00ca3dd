/**
 * Measures a worker over its socket: `deno run -A bench/frames.ts [PROGRAM [RUN_FLAGS…]]`. The host's side takes about
 * as much of the machine as the worker: compare runs with each other.
 */

import { encodeHello, encodeInvoke, FrameBuffer, HEADER_BYTES } from "../frames.ts";
import { HELLO } from "../tests/host.ts";

const [program = new URL("hello.ts", import.meta.url).pathname, ...flags] = Deno.args;
const SECONDS = 3;

const path = `${await Deno.makeTempDir()}/socket`;
const listener = Deno.listen({ transport: "unix", path });
const begun = performance.now();
const process = new Deno.Command(Deno.execPath(), {
  args: [
    "run",
    "-A",
    "--no-prompt",
    "--quiet",
    "--config",
    new URL("../deno.json", import.meta.url).pathname,
    ...flags,
    program,
  ],
  env: { IGNITE_WORKER_SOCKET: path },
  stdin: "null",
}).spawn();
const connection = await listener.accept();
listener.close(); // removes the path too

const out = new FrameBuffer(64 * 1024);
const input = new Uint8Array(256 * 1024);
const view = new DataView(input.buffer);
const body = new TextEncoder().encode('{"name":"Ada"}');
let end = 0;
let id = 0;

function addInvoke(): void {
  encodeInvoke(out, ++id, {
    timeoutUs: 30_000_000,
    texts: ["01J0000000000000000000000Z", "acme/hello", "acme", "POST", "/", ""],
    headers: [["host", "hello-acme.ignite.localhost"], ["content-type", "application/json"], ["accept", "*/*"]],
    body,
  });
}

async function send(): Promise<void> {
  const bytes = out.contents();
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
  out.length = 0;
}

/** Reads once and gives the number of frames that were complete. */
async function take(): Promise<number> {
  end += (await connection.read(input.subarray(end)))!;
  let start = 0;
  let count = 0;
  while (end - start >= HEADER_BYTES) {
    const length = HEADER_BYTES + view.getUint32(start, true);
    if (end - start < length) break;
    start += length;
    count++;
  }
  input.copyWithin(0, start, end);
  end -= start;
  return count;
}

/** CPU time of the worker in milliseconds. */
function cpuMs(): number {
  const fields = Deno.readTextFileSync(`/proc/${process.pid}/stat`).split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

encodeHello(out, HELLO);
await send();
await take();
addInvoke();
await send();
await take();
console.log(`first answer after ${(performance.now() - begun).toFixed(1)} ms`);

for (const atOnce of [1, 16, 64]) {
  for (const seconds of [0.5, SECONDS]) { // the first round warms up
    const cpu = cpuMs();
    const from = performance.now();
    let answered = 0;
    let inFlight = 0;
    while (performance.now() - from < seconds * 1000) {
      for (; inFlight < atOnce; inFlight++) addInvoke();
      await send();
      const count = await take();
      answered += count;
      inFlight -= count;
    }
    while (inFlight > 0) inFlight -= await take();
    const micros = (performance.now() - from) * 1000;
    if (seconds === SECONDS) {
      const rate = Math.round(answered / micros * 1e6);
      const worker = ((cpuMs() - cpu) * 1000 / answered).toFixed(1);
      console.log(`${atOnce} at once: ${rate} answers/s, worker CPU ${worker} µs each`);
    }
  }
}
connection.close();
console.log(`exit status ${(await process.status).code}`);
