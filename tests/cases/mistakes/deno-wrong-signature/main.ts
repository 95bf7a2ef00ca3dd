import { start } from "ignite";

start((payload: string, ctx: number) => payload + ctx);
