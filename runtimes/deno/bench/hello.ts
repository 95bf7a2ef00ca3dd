import { type Context, start } from "ignite";

start((payload: Uint8Array, ctx: Context) => {
  const { name } = JSON.parse(new TextDecoder().decode(payload));
  return { greeting: `hello, ${name}`, path: ctx.path };
});
