import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { gunzipSync, zstdCompressSync } from "node:zlib";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { gitIn, HttpGitServer, makeRepository, SshServer } from "./support/git-servers.ts";
import { type RunOptions, runOk, temporaryFolder } from "./support/processes.ts";

const dockerfile = "FROM scratch\nCOPY . /\n";

suite("contexts that are elsewhere", () => {
  const folder = temporaryFolder("remote-contexts");
  const repositories = join(folder.path, "repositories");
  const tarball = join(folder.path, "context.tar.gz");
  let daemon: TestDaemon;
  let ssh: SshServer;
  let http: HttpGitServer;
  let files: Server;

  before(async () => {
    const key = join(folder.path, "id");
    await runOk("ssh-keygen", ["-q", "-N", "", "-t", "ed25519", "-f", key]);
    ssh = await SshServer.start(join(folder.path, "sshd"), readFileSync(`${key}.pub`, "utf8"));
    http = await HttpGitServer.start(repositories, { token: "t0ken" });
    makeRepository(join(repositories, "part"), { "part.txt": "of a submodule\n" });
    makeRepository(join(repositories, "whole"), { Dockerfile: dockerfile, "sub/deep.txt": "deep\n" });
    const whole = join(repositories, "whole");
    gitIn(whole, "submodule", "add", "-q", "../part", "part");
    gitIn(whole, "commit", "-q", "-m", "with a part");
    makeRepository(join(repositories, "private"), { Dockerfile: dockerfile, "sub/secret.txt": "private\n" });
    writeFileSync(join(folder.path, "token"), "t0ken");
    mkdirSync(join(folder.path, "context"));
    writeFileSync(join(folder.path, "context/Dockerfile"), dockerfile);
    writeFileSync(join(folder.path, "context/in-tarball.txt"), "packed\n");
    execFileSync("tar", ["-C", join(folder.path, "context"), "-czf", tarball, "."]);
    const packed = gunzipSync(readFileSync(tarball));
    files = createServer((request, response) =>
      response.end(request.url?.endsWith(".zst") === true ? zstdCompressSync(packed) : readFileSync(tarball)),
    );
    await new Promise<void>((resolve) => files.listen(0, "127.0.0.1", resolve));
    daemon = await TestDaemon.start(folder.path);
  });

  after(async () => {
    await daemon[Symbol.asyncDispose]();
    await ssh[Symbol.asyncDispose]();
    await http[Symbol.asyncDispose]();
    await new Promise<void>((resolve) => files.close(() => resolve()));
    folder[Symbol.dispose]();
  });

  const build = async (name: string, args: readonly string[], options: RunOptions = {}): Promise<string> => {
    const output = join(folder.path, name);
    const all = ["build", "--progress=plain", "--provenance=false", `--output=type=local,dest=${output}`, ...args];
    const result = await daemon.buildx(all, options);
    assert.equal(result.code, 0, `${result.output}\n${daemon.log()}`);
    return output;
  };

  test("a repository over SSH with a submodule, signed in by the client's key", async () => {
    const key = `--ssh=default=${join(folder.path, "id")}`;
    const output = await build("by-ssh", [key, `${ssh.url(join(repositories, "whole"))}#main`]);
    assert.equal(readFileSync(join(output, "part/part.txt"), "utf8"), "of a submodule\n");
    assert.equal(readFileSync(join(output, "sub/deep.txt"), "utf8"), "deep\n");
    assert.equal(daemon.log().includes("PRIVATE KEY"), false);
  });

  test("a repository over SSH with a submodule, together with one behind a token and a step with that secret", async () => {
    const tools = join(repositories, "tools");
    const busybox = await busyboxContext(
      folder.path,
      `${shellStage}COPY part/part.txt /
RUN --mount=type=secret,id=GIT_AUTH_TOKEN read -r token </run/secrets/GIT_AUTH_TOKEN; echo "\${#token}" >/length
FROM scratch
COPY --from=base /part.txt /length /
COPY --from=private /sub/secret.txt /
`,
    );
    gitIn(repositories, "init", "-q", "-b", "main", tools);
    execFileSync("cp", ["-r", `${busybox}/.`, tools]);
    gitIn(tools, "submodule", "add", "-q", "../part", "part");
    gitIn(tools, "add", ".");
    gitIn(tools, "commit", "-q", "-m", "with a shell and a part");
    const output = await build("by-ssh-and-token", [
      `--ssh=default=${join(folder.path, "id")}`,
      `--secret=id=GIT_AUTH_TOKEN,src=${join(folder.path, "token")}`,
      `--build-context=private=${http.url}/private/.git#main`,
      `${ssh.url(tools)}#main`,
    ]);
    const texts = ["part.txt", "length", "secret.txt"].map((name) => readFileSync(join(output, name), "utf8"));
    assert.deepEqual(texts, ["of a submodule\n", "5\n", "private\n"]);
  });

  test("a repository over SSH without a key is refused, and nothing of this machine's is tried", async () => {
    const context = `--opt=context=${ssh.url(join(repositories, "whole"))}#main`;
    const result = await daemon.buildctl(["build", "--frontend=dockerfile.v0", "--no-cache", context]);
    assert.notEqual(result.code, 0);
    assert.match(result.output, /no SSH key "default" forwarded from the client/);
  });

  test("a repository behind a token, which is nowhere to be found afterwards", async () => {
    const token = `--secret=id=GIT_AUTH_TOKEN,src=${join(folder.path, "token")}`;
    const output = await build("by-token", [token, `${http.url}/private/.git#main`]);
    assert.equal(readFileSync(join(output, "sub/secret.txt"), "utf8"), "private\n");
    assert.ok(http.authorizations.some((header) => header !== ""));
    const encoded = Buffer.from("x-access-token:t0ken").toString("base64");
    for (const secret of ["t0ken", encoded]) {
      const found = execFileSync("sh", ["-c", `grep -rlF -- '${secret}' '${daemon.root}' || true`], {
        encoding: "utf8",
      });
      assert.equal(found, "");
      assert.equal(daemon.log().includes(secret), false);
    }
  });

  test("a repository behind a token, without it, says that the server wants one", async () => {
    const result = await daemon.buildx(["build", "--output=type=cacheonly", `${http.url}/private/.git#main`]);
    assert.notEqual(result.code, 0);
    assert.match(result.output, /could not read Username|Authentication failed|terminal prompts disabled/);
  });

  test("a directory of a repository", async () => {
    const file = join(folder.path, "code.Dockerfile");
    writeFileSync(file, "FROM scratch\nCOPY --from=code . /\n");
    const output = await build("subdirectory", [
      `--secret=id=GIT_AUTH_TOKEN,src=${join(folder.path, "token")}`,
      `--build-context=code=${http.url}/private/.git#main:sub`,
      `--file=${file}`,
      join(folder.path, "context"),
    ]);
    assert.equal(readFileSync(join(output, "secret.txt"), "utf8"), "private\n");
  });

  test("an archive behind a URL", async () => {
    const address = files.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    for (const kind of ["gz", "zst"]) {
      const output = await build(`by-url-${kind}`, [`http://127.0.0.1:${address.port}/context.tar.${kind}`]);
      assert.equal(readFileSync(join(output, "in-tarball.txt"), "utf8"), "packed\n");
    }
  });

  test("an archive on standard input", async () => {
    const output = await build("by-stdin", ["-"], { stdin: readFileSync(tarball) });
    assert.equal(readFileSync(join(output, "in-tarball.txt"), "utf8"), "packed\n");
  });

  test("a Dockerfile on standard input, without a context", async () => {
    const output = await build("dockerfile-stdin", ["-"], { stdin: "FROM scratch\nCOPY <<EOF /x\nhere\nEOF\n" });
    assert.equal(readFileSync(join(output, "x"), "utf8"), "here\n");
  });

  test("our own client signs in by key files and agents as well", async () => {
    const url = `${ssh.url(join(repositories, "whole"))}#main`;
    const build = async (...more: readonly string[]): Promise<string> =>
      await daemon.buildctlOk(
        ["build", "--frontend=dockerfile.v0", `--opt=context=${url}`, "--no-cache", "--progress=plain", ...more],
        { env: { SSH_AUTH_SOCK: "" } },
      );
    await build(`--ssh=default=${join(folder.path, "id")}`);
    const locked = join(folder.path, "locked");
    copyFileSync(join(folder.path, "id"), locked);
    await runOk("ssh-keygen", ["-q", "-p", "-P", "", "-N", "secret", "-f", locked]);
    await assert.rejects(build(`--ssh=default=${locked}`), /protected by a passphrase/);
  });
});
