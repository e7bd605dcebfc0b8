import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { HttpGitServer, makeRepository } from "../e2e/support/git-servers.ts";
import { temporaryFolder } from "../e2e/support/processes.ts";

/** GHSA-gc89-7gcr-jxqc (CVE-2023-26054): credentials in the URLs of sources were recorded, and published. */
suite("credentials in URLs", () => {
  const canary = "c4nary-passw0rd";
  const folder = temporaryFolder("ghsa-gc89");
  let daemon: TestDaemon;
  let git: HttpGitServer;
  let files: Server;
  const credentials: string[] = [];

  before(async () => {
    const repositories = join(folder.path, "repositories");
    makeRepository(join(repositories, "code.git"), { Dockerfile: "FROM scratch\nCOPY . /\n" });
    git = await HttpGitServer.start(repositories);
    mkdirSync(join(folder.path, "context"));
    writeFileSync(join(folder.path, "context", "Dockerfile"), "FROM scratch\nCOPY . /\n");
    const archive = execFileSync("tar", ["-C", join(folder.path, "context"), "-c", "."]);
    files = createServer(({ url, headers }, response) => {
      credentials.push(headers.authorization ?? "");
      if (url === "/context.tar") response.end(archive);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => files.listen(0, "127.0.0.1", resolve));
    daemon = await TestDaemon.start(folder.path);
  });

  after(async () => {
    await daemon[Symbol.asyncDispose]();
    await git[Symbol.asyncDispose]();
    files.close();
    folder[Symbol.dispose]();
  });

  const host = (): string => `127.0.0.1:${(files.address() as AddressInfo).port}`;
  /** Everything that the daemon keeps, has logged, and tells whoever asks. */
  const assertNowhere = async (output: string): Promise<void> => {
    for (const secret of [canary, Buffer.from(`me:${canary}`).toString("base64")]) {
      const found = execFileSync("sh", ["-c", `grep -rlaF -- '${secret}' '${daemon.root}' || true`], {
        encoding: "utf8",
      });
      assert.equal(found, "", "kept");
      for (const [where, text] of [
        ["log", daemon.log()],
        ["progress", output],
        ["history", await daemon.buildctlOk(["debug", "histories", "--format", "{{json .}}"])],
        ["usage", await daemon.buildctlOk(["du", "--verbose"])],
      ] as const)
        assert.equal(text.includes(secret), false, where);
    }
  };
  const build = async (...args: readonly string[]): Promise<string> =>
    (await daemon.buildctl(["build", "--frontend=dockerfile.v0", "--progress=plain", ...args])).output;

  test("are sent to git servers, and nowhere to be found afterwards", async () => {
    const context = git.url.replace("//", `//me:${canary}@`);
    const output = await build(`--opt=context=${context}/code.git#main`);
    assert.match(output, /COPY/);
    const sent = `basic ${Buffer.from(`me:${canary}`).toString("base64")}`;
    assert.deepEqual([...new Set(git.authorizations)], [sent]);
    await assertNowhere(output);
  });

  test("are nowhere when the server fails either", async () => {
    const context = git.url.replace("//", `//me:${canary}@`);
    const output = await build(`--opt=context=${context}/missing.git#main`);
    assert.match(output, /error:/);
    await assertNowhere(output);
  });

  test("are sent to web servers, and nowhere to be found afterwards", async () => {
    const output = await build(`--opt=context=http://me:${canary}@${host()}/context.tar`);
    assert.match(output, /COPY/);
    assert.deepEqual([...new Set(credentials)], [`Basic ${Buffer.from(`me:${canary}`).toString("base64")}`]);
    await assertNowhere(output);
  });

  test("are nowhere when a web server fails either", async () => {
    const output = await build(`--opt=context=http://me:${canary}@${host()}/missing.tar`);
    assert.match(output, /error:/);
    await assertNowhere(output);
  });

  test("CVE-2025-0495: of caches are in no trace, log or record", async () => {
    const context = join(folder.path, "context");
    const trace = join(folder.path, "trace.json");
    const cache = `type=s3,bucket=b,region=r,endpoint_url=http://127.0.0.1:1,use_path_style=true,access_key_id=me,secret_access_key=${canary}`;
    const output = await build(
      `--local=context=${context}`,
      `--local=dockerfile=${context}`,
      `--import-cache=${cache}`,
      `--export-cache=${cache},ignore-error=true`,
      `--trace=${trace}`,
    );
    assert.match(output, /s3/);
    assert.doesNotMatch(readFileSync(trace, "utf8"), new RegExp(canary));
    await assertNowhere(output);
  });
});
