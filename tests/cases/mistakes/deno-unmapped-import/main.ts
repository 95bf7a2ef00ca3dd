import { start } from "ignite";
import { z } from "zod";

start((payload: Uint8Array) => z.string().parse(payload));
