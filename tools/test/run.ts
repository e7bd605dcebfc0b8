// Runs test files, by default all, and those that fail once more by themselves: what passes then is named, as it is
// unsteady and has to be mended, but fails nobody's change.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

const everything = ["packages/*/src/**/*.test.ts", "apps/*/src/**/*.test.ts", "test/**/*.test.ts"];

/** The files that failed, or undefined if there is none. */
function runFiles(files: readonly string[]): readonly string[] | undefined {
  const folder = mkdtempSync(join(tmpdir(), "test-run-"));
  const list = join(folder, "failed");
  const reporter = join(import.meta.dirname, "failed-files.mjs");
  const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning", "--test", "--test-force-exit"];
  const reports = ["spec", "stdout", reporter, list].map((value, index) =>
    index % 2 === 0 ? `--test-reporter=${value}` : `--test-reporter-destination=${value}`,
  );
  try {
    const timeout = process.env["NIGHTLY"] === undefined ? ["--test-timeout=300000"] : [];
    const { status } = spawnSync(process.execPath, [...flags, ...timeout, ...reports, ...files], { stdio: "inherit" });
    if (status === 0) return undefined;
    return readFileSync(list, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function name(files: readonly string[]): string {
  return files.map((file) => relative(process.cwd(), file)).join(", ");
}

const asked = process.argv.slice(2);
const failed = runFiles(asked.length > 0 ? asked : everything);
if (failed !== undefined) {
  process.stdout.write(`\nThese failed and run once more: ${name(failed)}\n\n`);
  // Without a file to blame there is nothing to run again.
  const again = failed.length === 0 ? [] : runFiles(failed);
  if (again === undefined) process.stdout.write(`\nUnsteady, passed when run again: ${name(failed)}\n`);
  process.exitCode = again === undefined ? 0 : 1;
}
