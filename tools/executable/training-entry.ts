// The main script of an executable that is run before the real one is made: it acts as that one will, and leaves V8's code cache
// of its program behind when it ends.
import { writeFileSync } from "node:fs";
import { onProgramLoaded } from "./load-program.ts";

const file = process.env["CODE_CACHE_FILE"] ?? "";
onProgramLoaded((script) => process.once("exit", () => writeFileSync(file, script.createCachedData())));
await import("./entry.ts");
