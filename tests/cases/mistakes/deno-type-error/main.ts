import { start } from "ignite";

start((payload: Uint8Array) => {
  const length: string = payload.length;
  return length;
});
