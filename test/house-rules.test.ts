import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { suite, test } from "node:test";

/** Names that say nothing of what is inside. */
const emptyNames = /^(utils?|helpers?|common|misc|shared|manager)\.ts$/;
const readmeLines = 80;

const sources = globSync("{packages,apps}/*/src/**/*.ts").filter((file) => !file.includes("/gen/"));

/** Whoever waits on an aborted signal is told why only if the abort has a reason. */
function findBareAborts(source: string): string[] {
  return source
    .split("\n")
    .filter((line) => /\.abort\(\s*\)/.test(line) && !line.trimStart().startsWith("//"))
    .map((line) => line.trim());
}

suite("house rules", () => {
  test("every abort has a reason", () => {
    const production = sources.filter((file) => !file.endsWith(".test.ts") && !file.includes("/testing/"));
    const found = production.flatMap((file) => findBareAborts(readFileSync(file, "utf8")).map((l) => `${file}: ${l}`));
    assert.deepEqual(found, []);
  });

  test("a bare abort would be found", () => {
    assert.deepEqual(findBareAborts("work();\n  controller.abort();\ncontroller.abort(reason);"), [
      "controller.abort();",
    ]);
  });

  test("file names say what is inside", () => {
    assert.deepEqual(
      sources.filter((file) => emptyNames.test(basename(file))),
      [],
    );
    assert.match("helpers.ts", emptyNames);
  });

  for (const folder of globSync("{packages,apps}/*")) {
    test(`${folder} says what it is for on one screen`, () => {
      const lines = readFileSync(`${folder}/README.md`, "utf8").split("\n");
      assert.match(lines[0] ?? "", /^# \S/);
      assert.ok(lines.length <= readmeLines, `${lines.length} lines`);
    });
  }
});
