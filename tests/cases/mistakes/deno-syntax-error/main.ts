import { start } from "ignite";

start((payload: Uint8Array => payload);
