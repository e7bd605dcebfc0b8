import assert from "node:assert/strict";
import { chmodSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";
import { executed, solveOk } from "./support/solve.ts";

const step = "RUN --mount=type=cache,id=one,target=/cache echo $((40+2)) > /answer";

suite("a step is built again", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("cache-keys"));
  let daemon: TestDaemon;
  let context: string;

  before(async () => {
    context = await busyboxContext(folder.path, shellStage, { file: "text\n" });
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const runs = async (lines: string, attributes: Readonly<Record<string, string>> = {}): Promise<string[]> => {
    writeFileSync(join(context, "Dockerfile"), `${shellStage}${lines}\n`);
    return executed(await solveOk(daemon, context, { attributes })).filter((name) => name.startsWith("RUN"));
  };

  const misses: readonly (readonly [what: string, lines: string])[] = [
    ["its command", step.replace("40", "41")],
    ["its environment", `ENV A=1\n${step}`],
    ["its environment's value", `ENV A=2\n${step}`],
    ["a build argument it sees", `ARG B=1\n${step}`],
    ["its user", `USER 5\n${step.replace("> /answer", "")}`],
    ["its working directory", `WORKDIR /w\n${step}`],
    ["its shell", `SHELL ["/bin/sh", "-ec"]\n${step}`],
    ["its network", step.replace("RUN", "RUN --network=none")],
    ["a mount's target", step.replace("/cache", "/other")],
    ["a tmpfs", step.replace("RUN", "RUN --mount=type=tmpfs,target=/tmp")],
    ["a cache mount that it reads only", step.replace("target=/cache", "target=/cache,readonly")],
    ["a file it follows", `COPY file /file\n${step}`],
    ["that file's mode", `COPY --chmod=600 file /file\n${step}`],
    ["that file's owner", `COPY --chown=3:4 file /file\n${step}`],
  ];
  for (const [what, lines] of misses) {
    test(`when ${what} changes`, async () => {
      await runs(step);
      assert.equal((await runs(lines)).length, 1);
      assert.deepEqual(await runs(lines), [], "and only once");
    });
  }

  test("not when what it does not depend on changes", async () => {
    const lines = `COPY file /file\n${step}`;
    await runs(lines, { "build-arg:HTTP_PROXY": "http://one.invalid", "add-hosts": "a=10.0.0.1" });
    const others: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
      [lines, { "build-arg:HTTP_PROXY": "http://two.invalid", "build-arg:no_proxy": "x" }],
      [lines, { "build-arg:HTTP_PROXY": "http://one.invalid", "add-hosts": "a=10.0.0.2" }],
      [lines.replace("id=one", "id=two"), { "add-hosts": "a=10.0.0.2" }],
      [lines.replace("id=one", "id=one,sharing=locked"), { "add-hosts": "a=10.0.0.2" }],
    ];
    for (const [text, attributes] of others) assert.deepEqual(await runs(text, attributes), [], text);
    utimesSync(join(context, "file"), 5, 5);
    assert.deepEqual(await runs(lines), [], "times of files");
    chmodSync(join(context, "file"), 0o755);
    assert.equal((await runs(lines)).length, 1, "modes of files");
    chmodSync(join(context, "file"), 0o644);
    assert.deepEqual(await runs(lines), [], "the former mode's result is still there");
  });

  test("when asked to, and from where asked", async () => {
    writeFileSync(
      join(context, "Dockerfile"),
      `${shellStage}FROM base AS early\nRUN true\nFROM early AS late\nRUN true\n`,
    );
    const names = async (attributes: Readonly<Record<string, string>>): Promise<string[]> =>
      executed(await solveOk(daemon, context, { attributes })).filter((name) => name.startsWith("RUN"));
    await names({});
    assert.equal((await names({ "no-cache": "" })).length, 2);
    assert.equal((await names({ "no-cache": "late" })).length, 1);
    assert.deepEqual(await names({}), []);
  });
});
