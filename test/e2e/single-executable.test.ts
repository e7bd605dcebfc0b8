import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { repository, run, runOk, temporaryFolder } from "./support/processes.ts";

const nodeFlags = ["--conditions=source", "--disable-warning=ExperimentalWarning"];

suite("the single executable", { skip: process.env["BUILDKIT_TS_BIN"] !== undefined && "it is what is tested" }, () => {
  const folder = temporaryFolder("executable");
  const programs = join(folder.path, "bin");

  let output = "";

  before(async () => {
    output = await runOk(process.execPath, [...nodeFlags, join(repository, "tools/build.ts"), programs], {
      timeoutMs: 300_000,
    });
  });

  after(() => folder[Symbol.dispose]());

  test("is the daemon or the client by the name it is called by", async () => {
    assert.match(await runOk(join(programs, "buildkitd"), ["--version"]), /^buildkitd \S+ \S+ \S+\n$/);
    assert.match(await runOk(join(programs, "buildctl"), ["--version"]), /^buildctl \S+ \S+ \S+\n$/);
  });

  test("finds a program's code compiled", async () => {
    // Were the cache refused, V8 would parse some megabytes again at each start, and nothing would tell.
    const check = `const { readFileSync } = require("node:fs");
      const read = (kind, encoding) => readFileSync(${JSON.stringify(join(programs, "programs/run-daemon"))} + kind, encoding);
      const { cachedDataRejected } = new (require("node:vm").Script)(read(".js", "latin1"), { cachedData: read(".cache") });
      process.stdout.write(String(cachedDataRejected));`;
    const { execArgv } = JSON.parse(readFileSync(join(programs, "sea.json"), "utf8")) as { execArgv: string[] };
    assert.equal(await runOk(process.execPath, [...execArgv, "--eval", check]), "false");
  });

  test("was made with what builds run in its code caches", () => {
    assert.doesNotMatch(output, /hold only what loading runs/);
  });

  test("passes the end-to-end tests of builds", { timeout: 600_000 }, async () => {
    // Node's runner marks its children, and one that runs inside a mark prints nothing.
    const { NODE_TEST_CONTEXT: _mark, ...env } = process.env;
    const files = ["dockerfile-build", "bad-dockerfile"].map((name) => join(repository, `test/e2e/${name}.test.ts`));
    const result = await run("env", ["-u", "NODE_TEST_CONTEXT", process.execPath, ...nodeFlags, "--test", ...files], {
      env: { ...(env as Record<string, string>), BUILDKIT_TS_BIN: programs },
      timeoutMs: 600_000,
    });
    assert.equal(result.code, 0, result.output);
  });
});
