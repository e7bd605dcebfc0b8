import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { inClient } from "@buildkit-ts/frontend";
import { mkfile, scratch } from "@buildkit-ts/llb";
import { TestRegistry } from "@buildkit-ts/registry/testing";
import { busyboxContext, shellLayer, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";
import { type Solved, type SolveOptions, solve, solveOk } from "./support/solve.ts";
import { StallingRegistry } from "./support/stalling-registry.ts";

/** Long enough for somebody to delete files meanwhile; where it is not, they are deleted after the step, and are lost as well. */
const slow = "echo running && sleep 1";

suite("a snapshot that somebody deletes", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("lost-snapshots"));
  let daemon: TestDaemon;
  let base: string;
  let outputs = 0;

  before(async () => {
    const registry = owned.use(await StallingRegistry.start());
    base = registry.putImage("base", await shellLayer(folder.path));
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const snapshotsWith = (file: string): string[] => {
    const root = join(daemon.root, "snapshots");
    const folders = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) => /(^|\/)\d+$/.test(path));
    return folders.map((path) => join(root, path)).filter((path) => existsSync(join(path, "fs", file)));
  };
  const takeAway = (file: string): void => {
    const found = snapshotsWith(file);
    assert.notDeepEqual(found, [], `no snapshot has ${file}`);
    for (const path of found) rmSync(path, { recursive: true });
  };
  const directory = (): { readonly path: string; readonly exports: NonNullable<SolveOptions["exports"]> } => {
    const path = join(folder.path, `out-${(outputs += 1)}`);
    mkdirSync(path);
    return { path, exports: [{ type: "local", attributes: {}, target: { kind: "directory", path, mirror: false } }] };
  };
  /** Builds while files are taken away as soon as the step runs. */
  const buildWhile = async (dockerfile: string, act: () => void, options: SolveOptions = {}): Promise<Solved> => {
    const context = await busyboxContext(folder.path, dockerfile);
    let hasActed = false;
    return await solveOk(daemon, context, {
      ...options,
      onProgress: ({ logs }) => {
        if (hasActed || !logs.includes("running\n")) return;
        hasActed = true;
        act();
      },
    });
  };
  const isTold = ({ warnings }: Solved): boolean => warnings.some((text) => text.startsWith("Cannot use "));
  const runs = ({ logs }: Solved): number => logs.split("running\n").length - 1;

  test("while the step on top of it runs is made again inside the build, and the step runs again", async () => {
    const { path, exports } = directory();
    const dockerfile = `${shellStage}RUN echo 1 > /made-1\nRUN ${slow} && cat /made-1 > /copy-1\n`;
    const solved = await buildWhile(dockerfile, () => takeAway("made-1"), { exports });
    assert.equal(readFileSync(join(path, "copy-1"), "utf8"), "1\n");
    assert.deepEqual([runs(solved), isTold(solved)], [2, true]);
    assert.match(daemon.log(), /use of the result of .*Cannot find the files of cache record/);
  });

  test("while a step has it mounted besides its own files is made again for it and for all others", async () => {
    const { path, exports } = directory();
    const dockerfile = `${shellStage}FROM base AS made
RUN echo 2 > /made-2
FROM base AS reader
RUN --mount=from=made,target=/m ${slow} && cat /m/made-2 > /read-2
FROM scratch
COPY --from=made /made-2 /
COPY --from=reader /read-2 /
`;
    const solved = await buildWhile(dockerfile, () => takeAway("made-2"), { exports });
    for (const name of ["made-2", "read-2"]) assert.equal(readFileSync(join(path, name), "utf8"), "2\n");
    assert.equal(runs(solved), 2);
  });

  test("and that an image was unpacked to is unpacked again", async () => {
    const { path, exports } = directory();
    const dockerfile = `FROM ${base} AS pulled\nRUN echo 3 > /made-3\nRUN ${slow} && cat /made-3 > /copy-3\n`;
    const solved = await buildWhile(dockerfile, () => takeAway("bin/sh"), { exports });
    assert.equal(readFileSync(join(path, "copy-3"), "utf8"), "3\n");
    assert.equal(runs(solved), 2);
  });

  test("below a merge of linked copies is made again with the merge", async () => {
    const { path, exports } = directory();
    const dockerfile = `${shellStage}FROM base AS part\nRUN echo 4 > /made-4
FROM base
COPY --link --from=part /made-4 /linked-4
RUN ${slow} && cat /linked-4 > /copy-4
`;
    const solved = await buildWhile(dockerfile, () => takeAway("linked-4"), { exports });
    assert.equal(readFileSync(join(path, "copy-4"), "utf8"), "4\n");
    assert.ok(runs(solved) >= 2);
  });

  test("with all others is no more than a build from the start", async () => {
    const { path, exports } = directory();
    const dockerfile = `FROM ${base}\nCOPY busybox /bin/busybox-5\nRUN echo 5 > /made-5\nRUN ${slow} && cat /made-5 > /copy-5\n`;
    const all = (): void => {
      for (const path of [...snapshotsWith("."), ...snapshotsWith("bin")])
        rmSync(path, { recursive: true, force: true });
    };
    const solved = await buildWhile(dockerfile, all, { exports });
    assert.equal(readFileSync(join(path, "copy-5"), "utf8"), "5\n");
    assert.equal(runs(solved), 2);
  });

  test("is made again for a frontend that looks into it", async () => {
    const { signal } = new AbortController();
    const definition = scratch()
      .file(mkfile("/made-8", "8", { mode: 0o644 }))
      .marshal();
    let text = "";
    const run = inClient(async (client) => {
      const { ref } = await client.solve({ definition, evaluate: true }, { signal });
      takeAway("made-8");
      text = Buffer.from((await ref?.readFile("/made-8", { signal })) ?? []).toString();
      return { ref: undefined, refs: new Map(), metadata: new Map() };
    });
    const solved = await solve(daemon, { run });
    assert.equal(solved.error, undefined);
    assert.equal(text, "8");
  });

  const kinds: readonly (readonly [what: string, options: () => Promise<SolveOptions>])[] = [
    ["written to a directory", async () => await Promise.resolve({ exports: directory().exports })],
    [
      "made an image of",
      async () => await Promise.resolve({ exports: [{ type: "image", attributes: { name: "lost" } }] }),
    ],
    [
      "exported as cache",
      async () => {
        const registry = owned.use(await TestRegistry.start());
        const attributes = { ref: `${registry.host}/cache:it`, mode: "max" };
        return { cacheExports: [{ type: "registry", attributes }] };
      },
    ],
  ];
  for (const [index, [what, options]] of kinds.entries())
    test(`between two builds is made again by the one in which it is ${what}`, async () => {
      const name = `made-6-${index}`;
      const context = await busyboxContext(folder.path, `${shellStage}RUN echo ${index} > /${name}\n`);
      await solveOk(daemon, context);
      takeAway(name);
      await solveOk(daemon, context, await options());
      const { path, exports } = directory();
      await solveOk(daemon, context, { exports });
      assert.equal(readFileSync(join(path, name), "utf8"), `${index}\n`);
    });

  test("of a context between two builds is received anew", async () => {
    const context = await busyboxContext(folder.path, `${shellStage}RUN echo 8 > /made-8\n`);
    await solveOk(daemon, context);
    takeAway("Dockerfile");
    const { path, exports } = directory();
    await solveOk(daemon, context, { exports });
    assert.equal(readFileSync(join(path, "made-8"), "utf8"), "8\n");
  });

  test("each time the step runs ends the build with an error that names it", async () => {
    const context = await busyboxContext(folder.path, `${shellStage}RUN echo 7 > /made-7\nRUN ${slow}\n`);
    let seen = 0;
    const failing = solveOk(daemon, context, {
      onProgress: ({ logs }) => {
        const count = logs.split("running\n").length - 1;
        if (count === seen) return;
        seen = count;
        takeAway("made-7");
      },
    });
    await assert.rejects(failing, ({ cause }: Error) => {
      assert.match(
        String(cause),
        /Cannot use ".*echo 7 > \/made-7" for ".*sleep 1": Cannot find the files of cache record/,
      );
      return true;
    });
    assert.equal(seen, 4);
  });

  test("leaves no record behind that says it is there", async () => {
    await daemon.buildctlOk(["prune", "--all"]);
    // As Go writes a list of nothing.
    assert.equal(JSON.parse(await daemon.buildctlOk(["du", "--format", "json"])), null);
    await daemon.stop();
    const check = await daemon.check();
    assert.equal(check.code, 0, check.output);
    await daemon.start();
  });
});
