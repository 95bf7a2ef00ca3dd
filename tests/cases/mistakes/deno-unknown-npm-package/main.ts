import { start } from "ignite";
import { nothing } from "npm:ignite-has-no-such-package-4711@1";

start(() => nothing());
