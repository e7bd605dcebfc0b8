// `node [the executable's flags] make-code-cache.ts SCRIPT CACHE`: writes V8's code cache of a program, with all that runs
// while it is loaded.
import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Script } from "node:vm";
import { runProgram } from "./load-program.ts";

const [script = "", cache = ""] = process.argv.slice(2);
const filename = join(dirname(process.execPath), basename(script));
const compiled = new Script(readFileSync(script, "latin1"), { filename });
runProgram(compiled, filename);
writeFileSync(cache, compiled.createCachedData());
// What the program has loaded may have begun work of its own.
process.exit();
