/**
 * Scratch memory of one execution, as `ctx.temp_store`.
 *
 * @module
 */

/** How much one execution may keep: keys and values together, in bytes. */
export const TEMP_STORE_BYTES_MAX = 64 * 1024 * 1024;
/** What an entry counts besides its key and value, so that empty values are bounded too. */
const ENTRY_BYTES = 64;

/** Thrown by {@link TempStore.put} where the value does not fit. */
export class StoreFullError extends Error {
  /** `StoreFullError`. */
  override name = "StoreFullError";

  /** Says how much the store holds. */
  constructor() {
    super("the scratch store is full: it holds 64 MiB");
  }
}

/** Keys with values, bounded, gone with the execution. */
export class TempStore {
  #entries = new Map<string, Uint8Array<ArrayBuffer>>();
  #used = 0;

  /**
   * Keeps a copy of the value under the key, in place of what was there. A string is kept as UTF-8.
   *
   * @throws {StoreFullError} where the value does not fit; then nothing has changed.
   */
  put(key: string, value: Uint8Array | string): void {
    const copy = typeof value === "string" ? new TextEncoder().encode(value) : new Uint8Array(value);
    const used = this.#used + entryBytes(key, copy) - entryBytes(key, this.#entries.get(key));
    if (used > TEMP_STORE_BYTES_MAX) throw new StoreFullError();
    this.#entries.set(key, copy);
    this.#used = used;
  }

  /** A copy of the value; `undefined` where there is none. */
  get(key: string): Uint8Array<ArrayBuffer> | undefined {
    return this.#entries.get(key)?.slice();
  }

  /** The value as text; `undefined` where there is none. */
  text(key: string): string | undefined {
    const value = this.#entries.get(key);
    return value && new TextDecoder().decode(value);
  }

  /** Forgets a key and tells whether it was there. */
  delete(key: string): boolean {
    this.#used -= entryBytes(key, this.#entries.get(key));
    return this.#entries.delete(key);
  }

  /** The keys that begin with the prefix, sorted. */
  list(prefix = ""): string[] {
    return [...this.#entries.keys()].filter((key) => key.startsWith(prefix)).sort();
  }
}

function entryBytes(key: string, value: Uint8Array | undefined): number {
  // The longest a key can be as UTF-8: nothing has to be encoded for it.
  return value ? key.length * 3 + value.length + ENTRY_BYTES : 0;
}
