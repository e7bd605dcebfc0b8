import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

/** Waits for a lock that it gives up itself, by a timer that does not hold the process. */
const program = `
  import { closeSync, openSync } from "node:fs";
  import { tryLock } from "@buildkit-ts/sys";
  import { withInitLock } from "./init-lock.ts";
  const [path] = process.argv.slice(-1);
  const other = openSync(path, "a+");
  console.log(tryLock(other, "exclusive"));
  setTimeout(() => closeSync(other), 50).unref();
  console.log(await withInitLock(path, async () => "set up"));
`;

test("a process that waits for the lock, and for nothing else, does not end", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "init-lock-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning", "--input-type=module-typescript"];
  const output = execFileSync(process.execPath, [...flags, "--eval", program, join(folder, "lock")], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  });
  assert.equal(output, "true\nset up\n");
});
