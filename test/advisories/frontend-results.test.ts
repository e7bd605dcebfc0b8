import assert from "node:assert/strict";
import { createWriteStream, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { inClient, type Reference } from "@buildkit-ts/frontend";
import { definitionToProto, mkdir, mkfile, rm, scratch, symlink } from "@buildkit-ts/llb";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { temporaryFolder } from "../e2e/support/processes.ts";
import { solve } from "../e2e/support/solve.ts";

/** What frontends make up: ids of platforms that become directories, and paths of file operations. */
suite("a frontend's result", () => {
  const folder = temporaryFolder("frontend-results");
  const victim = join(folder.path, "victim");
  const signal = AbortSignal.timeout(120_000);
  let daemon: TestDaemon;
  let outputs = 0;

  before(async () => {
    mkdirSync(victim);
    writeFileSync(join(victim, "canary"), "canary");
    daemon = await TestDaemon.start(folder.path);
  });

  after(async () => {
    assert.deepEqual(readdirSync(victim), ["canary"]);
    await daemon[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const tree = scratch().file(mkfile("/file", "text", { mode: 0o644 }));
  /** Returns one tree under these ids, for an exporter of files. */
  const exportAs = async (ids: readonly string[], type: "local" | "tar"): Promise<{ error: unknown; into: string }> => {
    outputs += 1;
    const parent = join(folder.path, `output-${outputs}`);
    const into = join(parent, "into");
    mkdirSync(into, { recursive: true });
    const run = inClient(async (client) => {
      const { ref } = await client.solve({ definition: tree.marshal() }, { signal });
      const Platforms = ids.map((ID) => ({ ID, Platform: { os: "linux", architecture: "amd64" } }));
      const metadata = new Map([["refs.platforms", Buffer.from(JSON.stringify({ Platforms }))]]);
      return { ref: undefined, refs: new Map<string, Reference | undefined>(ids.map((id) => [id, ref])), metadata };
    });
    const target =
      type === "local"
        ? ({ kind: "directory", path: into, mirror: false } as const)
        : ({ kind: "file", open: async () => createWriteStream(join(into, "out.tar")) } as const);
    const { error } = await solve(daemon, { run, exports: [{ type, attributes: {}, target }] });
    assert.deepEqual(readdirSync(parent), ["into"]);
    return { error, into };
  };

  for (const type of ["local", "tar"] as const) {
    for (const id of [
      "..",
      ".",
      "../../victim",
      "/etc",
      "a\0b",
      "a\nb",
      "x".repeat(5000),
      "\u202e",
      "",
      `..${victim}`,
    ]) {
      test(`with the platform id ${JSON.stringify(id.slice(0, 30))} reaches no other place by ${type}`, async () => {
        const { error, into } = await exportAs([id], type);
        if (id.includes("/") && error === undefined) assert.ok(!readdirSync(into).some((name) => name.includes("/")));
        else if (error === undefined) assert.fail(`${id} was taken`);
        assert.equal(readFileSync(join(victim, "canary"), "utf8"), "canary");
      });
    }
  }

  const given = scratch()
    .file(mkdir("/a", 0o755))
    .file(mkfile("/kept", "kept", { mode: 0o644 }))
    .file(symlink("/kept", "/link"))
    .file(symlink(victim, "/up"))
    .file(symlink("../../../../../../..", "/top"));
  const paths = [
    "..",
    "/..",
    `../../../../../../..${victim}`,
    "a/../../..",
    "link",
    "link/",
    "up/canary",
    "up",
    `top${victim}`,
  ];
  for (const path of paths) {
    test(`CVE-2026-15788 and others: removing ${path.replace(victim, "…")} removes nothing outside the tree`, async () => {
      outputs += 1;
      const into = join(folder.path, `output-${outputs}`);
      const target = { kind: "directory", path: into, mirror: false } as const;
      const definition = definitionToProto(given.file(rm(path, { allowNotFound: true })).marshal());
      const { error } = await solve(daemon, { definition, exports: [{ type: "local", attributes: {}, target }] });
      assert.equal(readFileSync(join(victim, "canary"), "utf8"), "canary");
      assert.ok(readdirSync(daemon.root).includes("state.db"));
      if (error !== undefined) return;
      const left = readdirSync(into);
      // A link goes, and not what it leads to.
      if (path.startsWith("link")) assert.deepEqual(left.toSorted(), ["a", "kept", "top", "up"]);
      if (path === "up/canary" || path.startsWith("top"))
        assert.deepEqual(left.toSorted(), ["a", "kept", "link", "top", "up"]);
    });
  }
});
