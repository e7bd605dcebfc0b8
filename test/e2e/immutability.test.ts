import assert from "node:assert/strict";
import { chmodSync, globSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { run, temporaryFolder } from "./support/processes.ts";
import { differences, fingerprint } from "./support/snapshot-fingerprint.ts";
import { executed, solveOk } from "./support/solve.ts";

suite("committed snapshots never change", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("immutability"));
  let daemon: TestDaemon;

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const first = `${shellStage}FROM base AS files
COPY data /data
RUN mkdir /made && echo made > /made/file && ln /made/file /made/hard
FROM files
`;
  const laters: readonly (readonly [name: string, lines: string])[] = [
    [
      "a mode changed and text appended by RUN",
      "RUN chmod 600 /data/a && echo more >> /data/b && echo x >> /made/hard",
    ],
    ["COPY over COPY", "COPY data/b /data/a\nCOPY --chmod=711 --chown=5:5 data/a /data/a"],
    ["COPY --link over COPY", "COPY --link --chmod=711 data/b /data/a"],
    ["a directory replaced and files removed", "RUN rm -r /made /data/a && mkdir /data/a && touch /data/a/b"],
    [
      "a cache mount seeded from a stage",
      "RUN --mount=type=cache,id=seeded,from=files,source=/data,target=/seed echo more >> /seed/a && rm /seed/b",
    ],
    [
      "a bind mount that is written",
      "RUN --mount=type=bind,from=files,source=/data,target=/bound,rw echo w >> /bound/a",
    ],
    ["times and owners", "RUN touch -d @5 /data/a && chown 7:7 /data/b"],
  ];

  test("by what later builds do to their files", async () => {
    const context = await busyboxContext(folder.path, first, { "data/a": "a\n", "data/b": "b\n" });
    await solveOk(daemon, context);
    for (const [name, lines] of laters) {
      const before = fingerprint(daemon.root);
      assert.ok(before.size > 5, "there is something to compare");
      writeFileSync(join(context, "Dockerfile"), `${first}${lines}\n`);
      await solveOk(daemon, context);
      assert.deepEqual(differences(before, fingerprint(daemon.root)), [], name);
    }
  });

  test("by a context of which only times or modes changed", async () => {
    const context = await busyboxContext(folder.path, `${shellStage}COPY data /data\nRUN cat /data/a`, {
      "data/a": "a\n",
    });
    await solveOk(daemon, context);
    utimesSync(join(context, "data/a"), 1_000_000, 1_000_000);
    const before = fingerprint(daemon.root);
    assert.deepEqual(executed(await solveOk(daemon, context)), []);
    assert.deepEqual(differences(before, fingerprint(daemon.root)), []);
    chmodSync(join(context, "data/a"), 0o600);
    assert.deepEqual(executed(await solveOk(daemon, context)), ["COPY data /data", "RUN cat /data/a"]);
    assert.deepEqual(differences(before, fingerprint(daemon.root)), []);
  });

  test("by the next version of a context, which is made in the place of the one that COPY linked files of", async () => {
    const files = { "data/a": "a\n", "data/b": "b\n", "data/c": "c\n", "data/d/e": "e\n" };
    const context = await busyboxContext(folder.path, "FROM scratch\nCOPY data /", files);
    const data = join(context, "data");
    const fixed = (): void => {
      for (const name of ["a", "b", "c", "d/e", "d"]) utimesSync(join(data, name), 1_000_000, 1_000_000);
    };
    const build = async (name: string): Promise<readonly [executed: string[], tree: Record<string, string>]> => {
      const path = join(folder.path, name);
      const target = { kind: "directory", path, mirror: false } as const;
      const done = await solveOk(daemon, context, { exports: [{ type: "local", attributes: {}, target }] });
      return [executed(done).filter((step) => step.startsWith("COPY")), describeFiles(path)];
    };
    fixed();
    const [, first] = await build("first");
    assert.deepEqual(first, describeFiles(data));
    const places = (): number[] =>
      globSync("snapshots/*/fs/data/d", { cwd: daemon.root }).map((name) => statSync(join(daemon.root, name)).ino);
    const place = places();
    const before = fingerprint(daemon.root);
    writeFileSync(join(data, "a"), "changed\n");
    chmodSync(join(data, "b"), 0o600);
    utimesSync(join(data, "c"), 2_000_000, 2_000_000);
    const [steps, second] = await build("second");
    assert.deepEqual(steps, ["COPY data /"]);
    assert.deepEqual(second, describeFiles(data));
    assert.deepEqual(places(), place, "it was made in the same place");
    assert.deepEqual(differences(before, fingerprint(daemon.root)), []);
    writeFileSync(join(data, "a"), "a\n");
    chmodSync(join(data, "b"), 0o644);
    fixed();
    assert.deepEqual(await build("third"), [[], first], "the first result is found again, as it was");
  });

  test("by COPY, which links files where a copy would be the same, and never shows them as hard links", async () => {
    const steps = [
      "COPY data/a /first/a",
      "COPY data /second",
      "COPY --chmod=711 data /third",
      "COPY --link data /fourth",
      "RUN find /first /second /third /fourth -type f | xargs stat -c %i | sort > /inodes",
      "FROM scratch",
      "COPY --from=made /inodes /",
    ];
    const context = await busyboxContext(folder.path, `${shellStage}FROM base AS made\n${steps.join("\n")}`, {
      "data/a": "a\n",
      "data/b": "b\n",
    });
    const output = join(folder.path, "linked");
    const target = { kind: "directory", path: output, mirror: false } as const;
    await solveOk(daemon, context, { exports: [{ type: "local", attributes: {}, target }] });
    const inodes = readFileSync(join(output, "inodes"), "utf8").trim().split("\n");
    assert.equal(inodes.length, 7);
    assert.equal(new Set(inodes).size, 7);
    const linked = globSync("snapshots/*/fs/{second/b,fourth/b,data/b}", { cwd: daemon.root }).map(
      (path) => statSync(join(daemon.root, path)).nlink,
    );
    assert.ok(
      linked.some((count) => count > 2),
      "the context's file is in a layer, not only in the context",
    );
  });

  test("nothing is mounted after builds", async () => {
    const { stdout } = await run("cat", [`/proc/${daemon.pid}/mountinfo`]);
    assert.deepEqual(
      stdout.split("\n").filter((line) => line.includes(daemon.root)),
      [],
    );
  });
});

/** Modes, times and contents of the files below a directory, by path. */
function describeFiles(root: string): Record<string, string> {
  const paths = readdirSync(root, { recursive: true, encoding: "utf8" }).toSorted();
  return Object.fromEntries(
    paths.map((path) => {
      const stat = statSync(join(root, path));
      return [
        path,
        `${stat.mode.toString(8)} ${stat.mtimeMs} ${stat.isFile() ? readFileSync(join(root, path), "utf8") : ""}`,
      ];
    }),
  );
}
