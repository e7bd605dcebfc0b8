// `npm run ok`: every static check, then the unit tests. Prints what failed and nothing else.
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";

const bin = "node_modules/.bin";
const unitTests = [
  ...globSync("packages/*/src/**/*.test.ts").filter((file) => !/\.(root|slow)\.test\.ts$/.test(file)),
  ...globSync("apps/*/src/**/*.test.ts"),
  ...globSync("test/*.test.ts"),
];

const checks: readonly (readonly [name: string, command: string, args: readonly string[]])[] = [
  ["types", `${bin}/tsc`, ["-p", "tsconfig.json"]],
  ["format", `${bin}/biome`, ["check", "--error-on-warnings", "."]],
  ["lint", `${bin}/oxlint`, ["-c", ".oxlintrc.json", "packages", "apps", "test", "tools", "bench", "examples"]],
  ["generated code", "sh", ["tools/check-generated.sh"]],
  ["documentation", process.execPath, ["tools/check-docs.ts"]],
  ["unused code", `${bin}/knip`, ["--no-progress"]],
  [
    "unit tests",
    process.execPath,
    ["--conditions=source", "--disable-warning=ExperimentalWarning", "tools/test/run.ts", ...unitTests],
  ],
];

// A first impression of the solver's model is enough here; `npm test` and the nightly run take their time.
const env = { SOLVER_MODEL_RUNS: "200", ...process.env };
const wanted = process.argv.slice(2);
let failed = 0;
for (const [name, command, args] of checks) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", env, maxBuffer: 1 << 28 });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${status === 0 ? "ok  " : "FAIL"} ${name} (${seconds} s)\n`);
  if (status !== 0) {
    failed += 1;
    process.stdout.write(`${stdout}${stderr}\n`);
  } else if (name === "unit tests") {
    process.stdout.write(`${stdout.split("\n").slice(-9).join("\n")}\n`);
  }
}
process.exitCode = failed === 0 ? 0 : 1;
