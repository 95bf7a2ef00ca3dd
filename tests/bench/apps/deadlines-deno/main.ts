/** Executions that go on beyond their time in every way there is, by path; `/` greets. */
import { type Context, start } from "ignite";

const decoder = new TextDecoder();

async function naps() {
  while (true) {
    try {
      await new Promise((resolve) => setTimeout(resolve, 1));
    } catch {
      // It goes on.
    }
  }
}

start((payload: Uint8Array, ctx: Context) => {
  switch (ctx.path) {
    case "/spins":
      // deno-lint-ignore no-empty
      while (true) {}
    case "/never_answers":
      return new Promise(() => {});
    case "/catches_everything":
      return naps();
  }
  const asked = JSON.parse(decoder.decode(payload));
  return { greeting: `Hello, ${asked.name}!`, id: asked.id };
});
