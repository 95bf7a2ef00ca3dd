import type { Context } from "ignite";
import * as z from "zod";

const Signup = z.strictObject({
  email: z.email(),
  name: z.string().trim().min(1).max(100),
  plan: z.enum(["free", "team", "enterprise"]).default("free"),
  seats: z.int().min(1).max(500).default(1),
});

/** Answers a sign-up as it will be stored, and a wrong one with every fault in it at once. */
export function handler(payload: Uint8Array, ctx: Context) {
  const signup = Signup.safeParse(parse(payload));
  if (signup.success) return signup.data;
  const faults = signup.error.issues.map((issue) => ({
    field: issue.path.join("."),
    problem: issue.message,
  }));
  ctx.log.info("refused a sign-up", { faults: faults.length });
  return Response.json({ error: "this is not a sign-up", faults }, {
    status: 422,
  });
}

/** The payload's value; what is no JSON is no value, and is refused as such. */
function parse(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(payload));
  } catch {
    return undefined;
  }
}
