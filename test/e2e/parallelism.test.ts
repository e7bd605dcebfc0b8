import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";
import { type SolveOptions, solveOk } from "./support/solve.ts";

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
});
