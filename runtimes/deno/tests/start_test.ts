import assert from "node:assert/strict";
import * as frames from "../frames.ts";
import { Kind } from "../frames.ts";
import { HELLO, Host, spawn, within } from "./host.ts";

/** Writes a program beside the tests' configuration and removes it afterwards. */
async function program(source: string): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(path, source);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path) };
}

async function run(path: string, flags: string[], env?: Record<string, string>): Promise<[number, string]> {
  const process = spawn(path, flags, env);
  const [{ code }, stderr] = await within(Promise.all([process.status, new Response(process.stderr).text()]), "exit");
  return [code, stderr];
}

Deno.test("a program started by hand says how to serve it", async () => {
  const advice = "ignite: this program is an Ignite function; serve it with `ignite run .`\n";
  assert.deepEqual(await run("handler.ts", ["--allow-all"]), [2, advice]);
  assert.deepEqual(await run("handler.ts", []), [2, advice]);
});

Deno.test("a host that is not there is told", async () => {
  const [code, stderr] = await run("handler.ts", ["--allow-all"], { IGNITE_WORKER_SOCKET: "/does/not/exist" });
  assert.equal(code, 2);
  assert.match(stderr, /^ignite: could not connect to the host: NotFound/);
});

Deno.test("three permissions are enough for the worker itself", async () => {
  await using host = await Host.start("handler.ts", [
    "--allow-env=IGNITE_WORKER_SOCKET",
    "--allow-read=SOCKET",
    "--allow-write=SOCKET",
  ]);
  await host.send((out) => frames.encodeHello(out, HELLO));
  await host.next(Kind.READY);
  assert.equal((await host.call("/echo", "x")).text, "x");
});

Deno.test("another version of the protocol is refused", async () => {
  await using host = await Host.start("handler.ts");
  // A later version may have made HELLO longer.
  await host.send((out) => out.begin(Kind.HELLO, 0, 0).u16(2).u32(1).u32(1).u32(1).u32(99).finish());
  const failure = frames.decodeFailure((await host.next(Kind.INIT_ERROR)).payload);
  assert.equal(failure.type, "abi_version");
  assert.equal((await host.exit()).code, 1);
});

Deno.test("a first frame other than HELLO is a fault", async () => {
  await using host = await Host.start("handler.ts");
  await host.send((out) => frames.encodeEmpty(out, Kind.DRAIN, 0));
  assert.equal((await host.exit()).code, 70);
});

Deno.test("start without a function is an INIT_ERROR", async () => {
  await using main = await program('import { start } from "ignite"; start(undefined as never);');
  await using host = await Host.start(main.path);
  await host.send((out) => frames.encodeHello(out, HELLO));
  assert.equal(frames.decodeFailure((await host.next(Kind.INIT_ERROR)).payload).type, "no_handler");
});

Deno.test("a program that fails while it is loaded ends with its own error", async () => {
  for (
    const source of [
      'throw new Error("not today")',
      'import { start } from "ignite"; start(() => 1); throw new Error("not today")',
      'import { start } from "ignite"; start(() => 1); start(() => 2)',
    ]
  ) {
    await using main = await program(source);
    const path = await Deno.makeTempFile();
    const listener = Deno.listen({ transport: "unix", path: `${path}.socket` });
    const [code, stderr] = await run(main.path, ["--allow-all"], { IGNITE_WORKER_SOCKET: `${path}.socket` });
    listener.close();
    await Deno.remove(path);
    assert.equal(code, 1, source);
    assert.match(stderr, /not today|start was called twice/);
  }
});

Deno.test("a failure of the module after READY ends nobody", async () => {
  await using main = await program(`
    import { start } from "ignite";
    let call: () => void;
    const called = new Promise<void>((resolve) => call = resolve);
    start(() => call());
    await called;
    throw new Error("not today");
  `);
  await using host = await Host.start(main.path);
  await host.send((out) => frames.encodeHello(out, HELLO));
  await host.next(Kind.READY);
  await host.call("/");
  assert.match((await host.log(0)).message, /^unhandled rejection: Error: not today/);
  await host.call("/");
});
