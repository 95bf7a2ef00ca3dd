import { type Context, start } from "ignite";

/** Greets whoever the JSON payload names. */
export function handler(payload: Uint8Array, ctx: Context) {
  const request = payload.length > 0
    ? JSON.parse(new TextDecoder().decode(payload))
    : {};
  const name = request.name ?? "world";
  return { greeting: `Hello, ${name}!`, execution_id: ctx.execution_id };
}

start(handler);
