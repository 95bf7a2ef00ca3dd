import { start } from "ignite";
import { handler } from "./handler.ts";

start(handler);
