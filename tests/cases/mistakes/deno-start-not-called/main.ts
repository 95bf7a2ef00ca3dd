import { start } from "ignite";

export const handler = (payload: Uint8Array) => payload;
console.log(typeof start);
