// `npm run build [-- FOLDER]`: bundles the daemon and the client into one executable, which acts by the name it is called by.
import { execFileSync } from "node:child_process";
import { copyFileSync, globSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { type BuildOptions, build, type OutputOptions } from "rolldown";

const folder = process.argv[2] ?? "dist";
const executable = join(folder, "buildkit");

const common: BuildOptions = {
  platform: "node",
  resolve: { conditionNames: ["source", "node", "import"] },
  // The native module is an asset, loaded by its own loader.
  external: ["koffi"],
  logLevel: "warn",
};

async function bundle(input: string, file: string, output: OutputOptions): Promise<void> {
  await build({ ...common, input, output: { file, codeSplitting: false, ...output } });
}

/** Programs by the name they are called by. */
const dispatcher = `import { basename } from "node:path";
const name = basename(process.argv0);
if (name.startsWith("buildctl")) await import(${JSON.stringify(resolve("apps/cli/src/main.ts"))});
else await import(${JSON.stringify(resolve("apps/daemon/src/main.ts"))});
`;

function findKoffi(): string {
  const [path] = globSync(`node_modules/@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`);
  if (path === undefined) throw new Error("Cannot find koffi's native module: run npm install");
  return path;
}

rmSync(folder, { recursive: true, force: true });
mkdirSync(join(folder, "workers"), { recursive: true });
writeFileSync(join(folder, "entry.ts"), dispatcher);
await bundle(join(folder, "entry.ts"), join(folder, "main.mjs"), { format: "esm" });
const workers = globSync("packages/*/src/**/*.worker.ts").filter((file) => !file.includes("/testing/"));
for (const file of workers) {
  await bundle(file, join(folder, "workers", basename(file).replace(/\.ts$/, ".js")), { format: "cjs" });
}
copyFileSync(findKoffi(), join(folder, "koffi.node"));
const assets = Object.fromEntries([
  ["koffi.node", join(folder, "koffi.node")],
  ...readdirSync(join(folder, "workers")).map((name) => [`workers/${name}`, join(folder, "workers", name)] as const),
]);
const config = {
  main: join(folder, "main.mjs"),
  mainFormat: "module",
  output: executable,
  disableExperimentalSEAWarning: true,
  assets,
};
writeFileSync(join(folder, "sea.json"), JSON.stringify(config, undefined, 2));
execFileSync(process.execPath, [`--build-sea=${join(folder, "sea.json")}`], { stdio: "inherit" });
for (const name of ["buildkitd", "buildctl"]) symlinkSync("buildkit", join(folder, name));
