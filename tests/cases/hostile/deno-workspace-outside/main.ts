import { start } from "ignite";
start(() => "hello");
