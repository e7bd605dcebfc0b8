import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { definitionToProto, encodeDefinition, mkfile, scratch } from "@buildkit-ts/llb";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";
import { type Solved, solve } from "./support/solve.ts";

test("a step builds the definition that a file among its inputs holds", async () => {
  using folder = temporaryFolder("nested-builds");
  await using daemon = await TestDaemon.start(folder.path);
  const nested = scratch()
    .file(mkfile("/made", "by the nested build", { mode: 0o644 }))
    .marshal();
  const described = scratch().file(mkfile("/other.pb", encodeDefinition(nested), { mode: 0o644 }));
  const out = join(folder.path, "out");
  const exports = [{ type: "local", attributes: {}, target: { kind: "directory", path: out, mirror: false } }] as const;
  const build = async (options: { readonly filename?: string }): Promise<Solved> =>
    await solve(daemon, { definition: definitionToProto(described.build(options).marshal()), exports });
  assert.equal((await build({ filename: "/other.pb" })).error, undefined);
  assert.equal(readFileSync(join(out, "made"), "utf8"), "by the nested build");
  assert.match(String((await build({})).error), /failed to open buildkit.llb.definition: no such file or directory/);
});
