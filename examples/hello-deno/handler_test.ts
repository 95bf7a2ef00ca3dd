import { invoke } from "ignite/testing";
import { handler } from "./handler.ts";

Deno.test("greets by name", async () => {
  const response = await invoke(handler, '{"name":"Zoë"}');
  const { greeting } = await response.json();
  if (response.status !== 200 || greeting !== "Hello, Zoë!") {
    throw new Error(`answered ${response.status} ${greeting}`);
  }
});

Deno.test("greets the world without a payload", async () => {
  const { greeting } = await (await invoke(handler)).json();
  if (greeting !== "Hello, world!") throw new Error(`answered ${greeting}`);
});
