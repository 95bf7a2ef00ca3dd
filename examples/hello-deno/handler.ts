import type { Context } from "ignite";

/** Answers `{"name":"Ada"}` with `{"greeting":"Hello, Ada!"}`. */
export function handler(payload: Uint8Array, _ctx: Context) {
  const request = payload.length > 0
    ? JSON.parse(new TextDecoder().decode(payload))
    : {};
  return { greeting: `Hello, ${request.name ?? "world"}!` };
}
