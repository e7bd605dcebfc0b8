import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { repository } from "../e2e/support/processes.ts";

const read = (path: string): string => readFileSync(join(repository, path), "utf8");
const rows = [...read("docs/security.md").matchAll(/^\| (\S.*?) \| .* \| `(\S+)` \|$/gm)].map(
  ([, advisory = "", file = ""]) => ({ ids: advisory.match(/CVE-\d+-\d+/g) ?? [], file }),
);

test("docs/security.md names for each advisory a test that names the advisory", () => {
  assert.ok(rows.length > 20);
  for (const { ids, file } of rows) for (const id of ids) assert.ok(read(file).includes(id), `${file}: ${id}`);
});

test("docs/security.md lists all tests of advisories", () => {
  const listed = new Set(rows.map(({ file }) => file));
  for (const path of globSync("test/advisories/*.test.ts", { cwd: repository }))
    if (!path.endsWith("/listed.test.ts")) assert.ok(listed.has(path), path);
});
