// `npm run bundle-frontend -- ENTRY FOLDER`: bundles a frontend's program into FOLDER/frontend.mjs, which needs only Node.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "rolldown";

const [entry, folder] = process.argv.slice(2);
if (entry === undefined || folder === undefined) throw new Error("usage: bundle-frontend ENTRY FOLDER");

mkdirSync(folder, { recursive: true });
await build({
  input: entry,
  platform: "node",
  resolve: { conditionNames: ["source", "node", "import"] },
  logLevel: "warn",
  output: { file: join(folder, "frontend.mjs"), format: "esm", codeSplitting: false, minify: true },
});
