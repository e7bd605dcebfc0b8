import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";
import { type SolveOptions, solveDockerfile, solveOk } from "./support/solve.ts";

const waitFor = (path: string): string => `while [ ! -e ${path} ]; do sleep 0.05; done`;

suite("a cache mount", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("cache-mounts"));
  let daemon: TestDaemon;
  let steps = 0;

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  /** Runs a command that was never run before, and gives what it prints. */
  const run = async (
    mounts: string,
    command: string,
    options: SolveOptions & { readonly stages?: string } = {},
  ): Promise<string> => {
    const { stages = "", ...solveOptions } = options;
    const text = `${shellStage}${stages}FROM base\nRUN ${mounts} : ${(steps += 1)} && ${command}\n`;
    return (await solveOk(daemon, await busyboxContext(folder.path, text), solveOptions)).logs;
  };
  const mount = (options: string, target = "/c"): string => `--mount=type=cache,target=${target},${options}`;

  test("is one directory for each id, wherever it is mounted and whoever builds", async () => {
    await run(mount("id=one"), "echo first > /c/file");
    assert.match(await run(mount("id=one", "/elsewhere"), "cat /elsewhere/file"), /first/);
    assert.match(await run(mount("id=two"), "ls -A /c | wc -l"), /^0$/m);
    await run("--mount=type=cache,target=/by-target", "echo named by its target > /by-target/file");
    assert.match(await run("--mount=type=cache,target=/by-target", "cat /by-target/file"), /named by its target/);
    assert.match(await run(mount("id=/by-target"), "cat /c/file"), /named by its target/);
  });

  test("is no part of what a step leaves", async () => {
    const text = `${shellStage}RUN ${mount("id=left")} echo kept > /c/file\nRUN ls -A /c | wc -l\n`;
    assert.match((await solveOk(daemon, await busyboxContext(folder.path, text))).logs, /^0$/m);
  });

  test("is seen by all who share it, while they run", async () => {
    const meet = async (me: string, other: string): Promise<string> =>
      await run(mount("id=shared"), `touch /c/${me} && ${waitFor(`/c/${other}`)} && echo ${me} met ${other}`);
    const [one, two] = await Promise.all([meet("one", "two"), meet("two", "one")]);
    assert.match(one, /one met two/);
    assert.match(two, /two met one/);
  });

  test("is had by one at a time when it is locked", async () => {
    const alone = "mkdir /c/mine && sleep 0.3 && rmdir /c/mine && echo was alone";
    const logs = await Promise.all([1, 2, 3, 4].map(async () => await run(mount("id=locked,sharing=locked"), alone)));
    for (const log of logs) assert.match(log, /was alone/);
  });

  test("is let go by a build that is canceled while it waits for a lock, and by one that holds it", async () => {
    const held = Promise.withResolvers<void>();
    const [holder, waiter] = [new AbortController(), new AbortController()];
    const text = (command: string): string => `${shellStage}RUN ${mount("id=left-locked,sharing=locked")} ${command}\n`;
    const holding = solveDockerfile(daemon, await busyboxContext(folder.path, text("echo held && sleep 60")), {
      signal: holder.signal,
      onProgress: ({ logs }) => {
        if (logs.includes("held")) held.resolve();
      },
    });
    await held.promise;
    const asked = Promise.withResolvers<void>();
    const waiting = solveDockerfile(daemon, await busyboxContext(folder.path, text("echo never")), {
      signal: waiter.signal,
      onProgress: ({ steps: seen }) => {
        if ([...seen].some(([name, { started }]) => name.includes("echo never") && started)) asked.resolve();
      },
    });
    await asked.promise;
    waiter.abort(new Error("the waiter leaves"));
    assert.notEqual((await waiting).error, undefined);
    holder.abort(new Error("the holder leaves"));
    assert.notEqual((await holding).error, undefined);
    assert.match(await run(mount("id=left-locked,sharing=locked"), "echo free again"), /free again/);
  });

  test("is another one for each who runs at the same time when it is private, and is found again later", async () => {
    const meeting = mount("id=private-meeting", "/m");
    const apart = async (me: string, other: string): Promise<string> =>
      await run(
        `${meeting} ${mount("id=private,sharing=private")}`,
        `touch /c/${me} /m/${me} && ${waitFor(`/m/${other}`)} && echo ${me} sees $(ls /c)`,
      );
    const [one, two] = await Promise.all([apart("one", "two"), apart("two", "one")]);
    assert.match(one, /one sees one$/m);
    assert.match(two, /two sees two$/m);
    assert.match(await run(mount("id=private,sharing=private"), "echo later sees $(ls /c)"), /later sees (one|two)$/m);
  });

  test("has the owner and mode that a step asks for when it is new, and keeps them", async () => {
    const show = "stat -c 'is %u:%g %a' /c";
    assert.match(await run(mount("id=owned,uid=1000,gid=1001,mode=0750"), show), /is 1000:1001 750/);
    assert.match(await run(mount("id=plain"), show), /is 0:0 755/);
  });

  test("begins with what it is seeded from", async () => {
    const stages = "FROM base AS seed\nRUN mkdir -p /seed/in && echo seeded > /seed/in/file\n";
    const seeded = mount("id=seeded,from=seed,source=/seed/in");
    assert.match(await run(seeded, "cat /c/file && echo changed > /c/file", { stages }), /seeded/);
    assert.match(await run(seeded, "cat /c/file", { stages }), /changed/);
  });

  test("is a record that can be listed and pruned, but not while a step uses it", async () => {
    await run(mount("id=record"), "head -c 1048576 /dev/zero > /c/file");
    const usage = async (): Promise<string> =>
      await daemon.buildctlOk(["du", "--verbose", "--filter", "type==exec.cachemount"]);
    assert.match(await usage(), /cached mount \/c from exec/);
    const using = Promise.withResolvers<void>();
    const step = run(mount("id=used"), `touch /c/here && echo using && ${waitFor("/c/go")} && ls /c && echo was kept`, {
      onProgress: ({ logs }) => {
        if (logs.includes("using")) using.resolve();
      },
    });
    await using.promise;
    await daemon.buildctlOk(["prune", "--all", "--filter", "type==exec.cachemount"]);
    await run(mount("id=used"), "touch /c/go");
    assert.match(await step, /here\n[^]*was kept/);
    assert.match(await run(mount("id=record"), "ls -A /c | wc -l"), /^0$/m);
  });

  test("is new for a build that ignores the cache, and for those after it", async () => {
    const text = `${shellStage}RUN ${mount("id=no-cache")} ls -A /c | wc -l && touch /c/file-$(cat /proc/sys/kernel/random/uuid)\n`;
    const context = await busyboxContext(folder.path, text);
    const count = async (attributes: Readonly<Record<string, string>>): Promise<string | undefined> =>
      /^(\d+)$/m.exec((await solveOk(daemon, context, { attributes })).logs)?.[1];
    assert.equal(await count({}), "0");
    assert.equal(await count({}), undefined, "the step is cached");
    assert.equal(await count({ "no-cache": "" }), "0");
    assert.match(await run(mount("id=no-cache"), "ls /c | wc -l"), /^1$/m);
  });
});
