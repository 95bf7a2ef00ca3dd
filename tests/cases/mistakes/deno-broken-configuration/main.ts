import { start } from "ignite";

start((payload: Uint8Array) => new TextDecoder().decode(payload));
