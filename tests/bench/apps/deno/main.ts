/** The three handlers of the bench, by path. */
import { type Context, start } from "ignite";

const decoder = new TextDecoder();

function greet(payload: Uint8Array) {
  const asked = JSON.parse(decoder.decode(payload));
  return { greeting: `Hello, ${asked.name}!`, id: asked.id };
}

start((payload: Uint8Array, ctx: Context) => {
  switch (ctx.path) {
    case "/echo":
      return payload;
    case "/wait":
      return new Promise((resolve) =>
        setTimeout(() => resolve(greet(payload)), 10)
      );
    default:
      return greet(payload);
  }
});
