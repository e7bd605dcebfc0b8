import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { inClient } from "@buildkit-ts/frontend";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";
import { type Solved, type SolveOptions, solve, solveOk } from "./support/solve.ts";

suite("steps at a time", () => {
  const folder = temporaryFolder("parallelism");
  after(() => folder[Symbol.dispose]());

  const start = async (name: string, args: readonly string[]): Promise<TestDaemon> => {
    const home = join(folder.path, name);
    mkdirSync(home);
    return await TestDaemon.start(home, args);
  };

  /** Stages side by side, other ones for each id, which is no part of a cache mount's key; each notes in a shared directory how many ran when it did. */
  const wide = async (id: string, width: number): Promise<string> => {
    const note = "touch /n/$STAGE && ls /n | wc -l >> /log/counts && sleep 0.2 && rm /n/$STAGE";
    const mounts = `--mount=type=cache,id=${id}-n,target=/n --mount=type=cache,id=${id}-log,target=/log`;
    const stages = Array.from(
      { length: width },
      (_, i) => `FROM base AS s${i}\nENV STAGE=s${i}\nRUN ${mounts} ${note} && echo ${id} > /s${i}\n`,
    );
    const copies = stages.map((_, i) => `COPY --from=s${i} /s${i} /\n`);
    const text = `${shellStage}${stages.join("")}FROM base\n${copies.join("")}RUN ${mounts} echo most=$(sort -n /log/counts | tail -n 1)\n`;
    return await busyboxContext(folder.path, text);
  };
  const most = async (daemon: TestDaemon, id: string, options: SolveOptions = {}): Promise<number> => {
    const { logs } = await solveOk(daemon, await wide(id, 6), options);
    return Number(/most=(\d+)/.exec(logs)?.[1]);
  };

  test("are limited for the worker by max-parallelism", async () => {
    await using daemon = await start("worker", ["--oci-max-parallelism", "2"]);
    assert.ok((await most(daemon, "worker")) <= 2);
  });

  test("are limited for a build that asks for it, and for no other", async () => {
    await using daemon = await start("build", []);
    const limited = { attributes: { "build-arg:BUILDKIT_MAX_PARALLELISM": "1" } };
    const [one, other] = await Promise.all([most(daemon, "limited", limited), most(daemon, "free")]);
    assert.equal(one, 1);
    assert.ok(other > 1, `${other} at a time`);
    const wrong = { attributes: { "build-arg:BUILDKIT_MAX_PARALLELISM": "none" } };
    await assert.rejects(most(daemon, "wrong", wrong), /the build failed/);
  });

  test("go to builds in turn: a small build does not wait for all steps of a large one", async () => {
    await using daemon = await start("fair", ["--oci-max-parallelism", "1"]);
    const begun = Promise.withResolvers<void>();
    const ended: string[] = [];
    const large = solveOk(daemon, await wide("large", 12), {
      onProgress: ({ steps }) => {
        if ([...steps.values()].filter(({ started, completed }) => started && !completed).length > 4) begun.resolve();
        if ([...steps].some(([name, { completed }]) => name.includes("RUN") && completed)) begun.resolve();
      },
    }).then(() => ended.push("large"));
    await begun.promise;
    const small = `${shellStage}RUN echo small\n`;
    await solveOk(daemon, await busyboxContext(folder.path, small)).then(() => ended.push("small"));
    await large;
    assert.deepEqual(ended, ["small", "large"]);
  });

  for (const places of [1, 2])
    test(`leave a worker's places, ${places} in all, while they wait for a locked cache mount`, async () => {
      await using daemon = await start(`locked-${places}`, ["--oci-max-parallelism", String(places)]);
      const build = async (run: string, options: SolveOptions = {}): Promise<Solved> =>
        await solveOk(daemon, await busyboxContext(folder.path, `${shellStage}RUN ${run}\n`), options);
      const waiter = async (index: number, onWaiting: () => void): Promise<Solved> =>
        await build(`--mount=type=cache,id=lock,target=/l,sharing=locked echo ${index}`, {
          onProgress: ({ statuses }) => (statuses.has("waiting for cache mount /lock") ? onWaiting() : undefined),
        });
      let waiters: Promise<Solved>[] = [];
      const { error } = await solve(daemon, {
        // A container of a frontend's has the directory, and needs no place.
        run: inClient(async (client) => {
          const cache = { id: "/lock", sharing: "locked" } as const;
          const mounts = [{ target: "/" }, { target: "/l", cache }];
          await using _holder = await client.openContainer({ mounts }, { signal: AbortSignal.timeout(60_000) });
          const waiting = Array.from({ length: places }, () => Promise.withResolvers<void>());
          waiters = waiting.map(async ({ resolve }, index) => await waiter(index, resolve));
          await Promise.all(waiting.map(async ({ promise }) => await promise));
          await build("echo others go on");
          return { ref: undefined, refs: new Map(), metadata: new Map() };
        }),
      });
      assert.equal(error, undefined);
      await Promise.all(waiters);
    });
});
