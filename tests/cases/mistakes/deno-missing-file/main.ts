import { start } from "ignite";
import { greet } from "./greeting.ts";

start(() => greet());
