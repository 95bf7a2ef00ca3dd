import { invoke } from "ignite/testing";
import { handler } from "./handler.ts";

async function answer(payload: unknown) {
  const response = await invoke(handler, JSON.stringify(payload) ?? "{");
  return [response.status, await response.json()];
}

function equal(actual: unknown, expected: unknown) {
  const [left, right] = [actual, expected].map((value) =>
    JSON.stringify(value)
  );
  if (left !== right) throw new Error(`${left} is not ${right}`);
}

Deno.test("a sign-up is completed", async () => {
  equal(await answer({ email: "ada@example.com", name: " Ada " }), [
    200,
    { email: "ada@example.com", name: "Ada", plan: "free", seats: 1 },
  ]);
});

Deno.test("every fault is named", async () => {
  const [status, body] = await answer({ email: "ada", name: "", seats: 0 });
  equal([status, body.faults.map((fault: { field: string }) => fault.field)], [
    422,
    ["email", "name", "seats"],
  ]);
});

Deno.test("what is no JSON is refused", async () => {
  const [status] = await answer(undefined);
  equal(status, 422);
});
