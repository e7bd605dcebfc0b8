// The main script of the single executable: it acts by the name that it is called by.
import { basename } from "node:path";

if (basename(process.argv0).startsWith("buildctl")) await import("../../apps/cli/src/main.ts");
else await import("../../apps/daemon/src/main.ts");
