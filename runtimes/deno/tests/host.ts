/** Plays the host of one worker process. */

import assert from "node:assert/strict";
import * as frames from "../frames.ts";
import { FrameBuffer, Kind } from "../frames.ts";

/** Bounds every wait of these tests. */
const WAIT_MS = 20_000;

export const HELLO: frames.Hello = {
  version: frames.VERSION,
  frameBytesMax: 32 * 1024 * 1024,
  windowBytes: 256 * 1024,
  maxConcurrency: 64,
};

export interface Frame extends frames.FrameHeader {
  payload: Uint8Array<ArrayBuffer>;
}

/** Rejects where a promise does not settle within the bound. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${WAIT_MS} ms`)), WAIT_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export class Host {
  /** Frames of other executions than the one waited for. */
  readonly aside: Frame[] = [];
  #process: Deno.ChildProcess;
  #connection: Deno.UnixConn;
  #stderr: Promise<string>;
  #nextId = 0;
  #buffer = new Uint8Array(0);

  private constructor(process: Deno.ChildProcess, connection: Deno.UnixConn) {
    this.#process = process;
    this.#connection = connection;
    this.#stderr = new Response(process.stderr).text();
  }

  /** Starts a program of tests/, as the README asks a host to. */
  static async start(program: string, flags: string[] = ["--allow-all"]): Promise<Host> {
    const directory = await Deno.makeTempDir();
    const path = `${directory}/socket`;
    const listener = Deno.listen({ transport: "unix", path });
    const process = spawn(program, flags.map((flag) => flag.replace("=SOCKET", `=${path}`)), {
      IGNITE_WORKER_SOCKET: path,
    });
    const accepted = listener.accept();
    try {
      const ended = process.status.then(async (status) => {
        throw new Error(`exited with ${status.code}: ${await new Response(process.stderr).text()}`);
      });
      ended.catch(() => {});
      return new Host(process, await within(Promise.race([accepted, ended]), "connection"));
    } finally {
      listener.close();
      accepted.catch(() => {});
      await Deno.remove(directory, { recursive: true });
    }
  }

  /** Starts a program and takes it to READY. */
  static async ready(program = "handler.ts", hello: frames.Hello = HELLO): Promise<Host> {
    const host = await Host.start(program);
    await host.send((out) => frames.encodeHello(out, hello));
    const ready = frames.decodeReady((await host.next(Kind.READY)).payload);
    assert.deepEqual(ready, {
      version: 1,
      maxConcurrency: hello.maxConcurrency,
      zygote: false,
      sdk: "ignite-deno/0.1.0",
    });
    return host;
  }

  async send(encode: (out: FrameBuffer) => void): Promise<void> {
    const out = new FrameBuffer(1024);
    encode(out);
    await this.sendRaw(out.contents());
  }

  async sendRaw(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }

  /** Sends INVOKE to a path of the test handler and gives its id. */
  async invoke(
    path: string,
    body: Uint8Array | string = "",
    fields: Partial<frames.InvokeFields> = {},
  ): Promise<number> {
    const id = ++this.#nextId;
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    await this.send((out) =>
      frames.encodeInvoke(out, id, {
        timeoutUs: 0,
        texts: [`execution-${id}`, "acme/test", "acme", "POST", path, ""],
        headers: [],
        body: bytes,
        ...fields,
      })
    );
    return id;
  }

  async #fill(length: number): Promise<boolean> {
    const chunk = new Uint8Array(64 * 1024);
    while (this.#buffer.length < length) {
      const count = await this.#connection.read(chunk);
      if (count === null) return false;
      const grown = new Uint8Array(this.#buffer.length + count);
      grown.set(this.#buffer);
      grown.set(chunk.subarray(0, count), this.#buffer.length);
      this.#buffer = grown;
    }
    return true;
  }

  async #read(): Promise<Frame> {
    const closed = async () => new Error(`the worker closed the socket: ${await this.#stderr}`);
    if (!await this.#fill(frames.HEADER_BYTES)) throw await closed();
    const header = frames.decodeHeader(this.#buffer, 0, 64 * 1024 * 1024);
    const end = frames.HEADER_BYTES + header.length;
    if (!await this.#fill(end)) throw await closed();
    const payload = this.#buffer.slice(frames.HEADER_BYTES, end);
    this.#buffer = this.#buffer.slice(end);
    return { ...header, payload };
  }

  /** The next frame, which must be of the kind. */
  async next(kind?: number): Promise<Frame> {
    const frame = await within(this.#read(), "frame");
    return expectKind(frame, kind);
  }

  /** The next frame of one execution, which must be of the kind. */
  async nextOf(id: number, kind?: number): Promise<Frame> {
    const at = this.aside.findIndex((frame) => frame.id === id);
    if (at >= 0) return expectKind(this.aside.splice(at, 1)[0]!, kind);
    while (true) {
      const frame = await this.next();
      if (frame.id === id) return expectKind(frame, kind);
      this.aside.push(frame);
    }
  }

  /** Waits for a complete answer. */
  async result(id: number): Promise<frames.Result & { text: string }> {
    const frame = await this.nextOf(id, Kind.RESULT);
    assert.equal(frame.flags, frames.END, "RESULT without END");
    const result = frames.decodeResult(frame.payload);
    return { ...result, text: new TextDecoder().decode(result.body) };
  }

  /** Invokes and waits for a complete answer. */
  async call(path: string, body: Uint8Array | string = ""): Promise<frames.Result & { text: string }> {
    return await this.result(await this.invoke(path, body));
  }

  async failure(id: number): Promise<frames.Failure> {
    return frames.decodeFailure((await this.nextOf(id, Kind.ERROR)).payload);
  }

  async log(id: number): Promise<frames.Log> {
    return frames.decodeLog((await this.nextOf(id, Kind.LOG)).payload);
  }

  close(): void {
    this.#connection.close();
  }

  /** Waits for the end of the process: its status and what it said on stderr. */
  async exit(): Promise<{ code: number; stderr: string }> {
    const { code } = await within(this.#process.status, "exit");
    return { code, stderr: await this.#stderr };
  }

  /** Ends the process at the end of a test. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#connection.close();
    } catch {
      // closed by the test
    }
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // ended by itself
    }
    await this.#process.status;
    await this.#stderr;
  }
}

function expectKind(frame: Frame, kind: number | undefined): Frame {
  if (kind !== undefined && frame.kind !== kind) {
    assert.fail(`frame of kind ${frame.kind} in place of ${kind}: ${new TextDecoder().decode(frame.payload)}`);
  }
  return frame;
}

/** Starts a program of tests/ with an environment of its own. */
export function spawn(program: string, flags: string[], env: Record<string, string> = {}): Deno.ChildProcess {
  const url = new URL(program, import.meta.url);
  const config = new URL("../deno.json", import.meta.url).pathname;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--quiet", "--config", config, ...flags, url.pathname],
    env: { DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}
