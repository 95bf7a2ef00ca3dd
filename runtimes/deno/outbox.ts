import { FrameBuffer } from "./frames.ts";

/** How much may wait for the socket before streams wait and log records are dropped, in bytes. */
export const OUTBOX_BYTES_MAX = 4 * 1024 * 1024;
const START_BYTES = 64 * 1024;
/** The largest buffer kept for the next round, in bytes. */
const KEEP_BYTES_MAX = 1024 * 1024;

/** Where frames go: a connection, or whatever a test puts in its place. */
export interface Sink {
  /** Writes some of the bytes and gives their number. */
  write(bytes: Uint8Array): Promise<number>;
}

/**
 * Frames on their way to the host. What is appended while a write is under way is written by the next one; what is
 * appended in one turn is written together.
 */
export class Outbox {
  /** The buffer to append frames to; call {@link flush} afterwards. */
  frames: FrameBuffer = new FrameBuffer(START_BYTES);
  #spare: FrameBuffer | undefined = new FrameBuffer(START_BYTES);
  #writing = false;
  #scheduled = false;
  #waiting: (() => void)[] = [];

  /** Makes an outbox of a connection. */
  constructor(readonly sink: Sink) {}

  /** Whether so much waits that streams and logs must not add to it. */
  get isFull(): boolean {
    return this.frames.length >= OUTBOX_BYTES_MAX;
  }

  /** Sees to it that what was appended is written, after everything that is ready to append now. */
  flush(): void {
    if (this.#writing || this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      void this.#write();
    });
  }

  /** Resolves when all that was appended is written. */
  async drained(): Promise<void> {
    while (this.#writing || this.frames.length > 0) await this.#written();
  }

  /** Resolves when there is room again. */
  async room(): Promise<void> {
    while (this.isFull) await this.#written();
  }

  #written(): Promise<void> {
    this.flush();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async #write(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    while (this.frames.length > 0) {
      const full = this.frames;
      this.frames = this.#spare ?? new FrameBuffer(START_BYTES);
      this.#spare = undefined;
      const bytes = full.contents();
      try {
        let at = await this.sink.write(bytes);
        while (at < bytes.length) at += await this.sink.write(bytes.subarray(at));
      } catch {
        // The host is gone. The reader sees that too and ends the process; until then nothing is kept.
      }
      full.length = 0;
      if (full.bytes.length <= KEEP_BYTES_MAX) this.#spare = full;
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
    this.#writing = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
