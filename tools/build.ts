// `npm run build [-- FOLDER]`: bundles the daemon and the client into one executable, which acts by the name it is called by.
import { execFileSync } from "node:child_process";
import { copyFileSync, globSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { type BuildOptions, build, type OutputOptions, type Plugin } from "rolldown";
import { trainPrograms } from "./executable/train-programs.ts";

const folder = process.argv[2] ?? "dist";
const executable = join(folder, "buildkit");
const loader = resolve("tools/executable/load-program.ts");

/**
 * Flags of the executable's Node; the code cache is only valid under the same ones. Those of the heap keep V8 from letting it
 * grow as if the machine were its own. Half of either costs a build a fifth more time, and twice as much gains little.
 */
const nodeFlags: readonly string[] = [
  "--disable-warning=ExperimentalWarning",
  "--expose-gc",
  "--max-semi-space-size=16",
  "--heap-growing-percent=60",
];

/** A module that becomes an asset. */
interface AssetModule {
  readonly name: string;
  readonly path: string;
  /** All that it exports. */
  readonly export: string;
}

/** The programs whose code is loaded only where it is run, by the modules that the main scripts import them by. */
const programs: readonly AssetModule[] = [
  { name: "run-cli", path: "apps/cli/src/run-cli.ts", export: "runCli" },
  { name: "run-daemon", path: "apps/daemon/src/run-daemon.ts", export: "runDaemon" },
];

/** The libraries that a program loads only when a build needs them, by the modules that import them. */
const libraries: readonly AssetModule[] = [
  { name: "s3-sdk", path: "packages/objectstore/src/s3/s3-sdk.ts", export: "s3Sdk" },
  { name: "azure-sdk", path: "packages/objectstore/src/azure/azure-sdk.ts", export: "azureSdk" },
];

const common: BuildOptions = {
  platform: "node",
  resolve: { conditionNames: ["source", "node", "import"] },
  // The native module is an asset, loaded by its own loader.
  external: ["koffi"],
  logLevel: "warn",
};

/** Puts the loading of an asset in place of each module that has become one. */
function fromAssets(modules: readonly AssetModule[]): Plugin {
  return {
    name: "modules-from-assets",
    load(id) {
      const found = modules.find(({ path }) => resolve(path) === id);
      return found === undefined
        ? null
        : `import { loadProgram } from ${JSON.stringify(loader)};
export const { ${found.export} } = loadProgram(${JSON.stringify(found.name)});`;
    },
  };
}

async function bundle(input: string, file: string, options: OutputOptions & { plugins?: Plugin[] }): Promise<void> {
  const { plugins = [], ...output } = options;
  await build({ ...common, input, plugins, output: { file, codeSplitting: false, ...output } });
}

/** Bundles a module into a function of CommonJS's variables, without those that it loads from assets, and compiles it. */
async function bundleProgram({ name, path }: AssetModule, loaded: readonly AssetModule[] = []): Promise<void> {
  const file = join(folder, "programs", `${name}.js`);
  await bundle(path, file, { format: "cjs", plugins: [fromAssets(loaded)] });
  // Read as Latin-1, which takes half the memory: what is beyond must not be there.
  const code = readFileSync(file, "utf8").replaceAll(/[^\0-\x7f]/g, escapeCharacter);
  writeFileSync(file, `(function (exports, require, module, __filename, __dirname) {${code}\n})`);
  const cache = file.replace(/\.js$/, ".cache");
  execFileSync(process.execPath, [...nodeFlags, "tools/executable/make-code-cache.ts", file, cache], {
    stdio: "inherit",
  });
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function findKoffi(): string {
  const [path] = globSync(`node_modules/@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`);
  if (path === undefined) throw new Error("Cannot find koffi's native module: run npm install");
  return path;
}

rmSync(folder, { recursive: true, force: true });
for (const name of ["workers", "programs"]) mkdirSync(join(folder, name), { recursive: true });
await bundle("tools/executable/entry.ts", join(folder, "main.mjs"), { format: "esm", plugins: [fromAssets(programs)] });
for (const program of programs) await bundleProgram(program, libraries);
for (const library of libraries) await bundleProgram(library);
const workers = globSync("packages/*/src/**/*.worker.ts").filter((file) => !file.includes("/testing/"));
for (const file of workers) {
  await bundle(file, join(folder, "workers", basename(file).replace(/\.ts$/, ".js")), { format: "cjs" });
}
copyFileSync(findKoffi(), join(folder, "koffi.node"));
await train();
makeExecutable(join(folder, "main.mjs"), executable);
for (const name of ["buildkitd", "buildctl"]) symlinkSync("buildkit", join(folder, name));

/** Puts code caches with all that builds run in place of those with what runs while a program is loaded. */
async function train(): Promise<void> {
  const [main, training] = [join(folder, "training.mjs"), join(folder, "training")];
  await bundle("tools/executable/training-entry.ts", main, { format: "esm", plugins: [fromAssets(programs)] });
  makeExecutable(main, training);
  try {
    const caches = await trainPrograms(resolve(training));
    writeFileSync(join(folder, "programs/run-daemon.cache"), caches.daemon);
    writeFileSync(join(folder, "programs/run-cli.cache"), caches.client);
  } catch (error) {
    // A machine that can run no daemon, such as one without root, makes executables whose first build is slower.
    process.stdout.write(`The code caches hold only what loading runs: ${String(error)}\n`);
  } finally {
    for (const path of [main, training]) rmSync(path);
  }
}

function makeExecutable(main: string, file: string): void {
  const assets = ["koffi.node", ...globSync("{workers,programs}/*", { cwd: folder })];
  const config = {
    main,
    mainFormat: "module",
    output: join(folder, "unshared"),
    disableExperimentalSEAWarning: true,
    execArgv: nodeFlags,
    assets: Object.fromEntries(assets.map((name) => [name, join(folder, name)])),
  };
  writeFileSync(join(folder, "sea.json"), JSON.stringify(config, undefined, 2));
  execFileSync(process.execPath, [`--build-sea=${join(folder, "sea.json")}`], { stdio: "inherit" });
  // As it was written in one piece, so it would stay in the page cache: a touch of any page made most of the file resident.
  copyFileSync(join(folder, "unshared"), file);
  rmSync(join(folder, "unshared"));
}
