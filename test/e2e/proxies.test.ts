import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { SocksServer } from "@buildkit-ts/proxies/testing";
import { busyboxContext, shellLayer } from "./support/busybox-context.ts";
import { CertificateAuthority } from "./support/certificates.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ForwardProxy } from "./support/forward-proxy.ts";
import { HttpGitServer, makeRepository } from "./support/git-servers.ts";
import { temporaryFolder } from "./support/processes.ts";
import { TestRegistry } from "./support/registry.ts";
import { solveDockerfile, solveOk } from "./support/solve.ts";
import { StallingRegistry } from "./support/stalling-registry.ts";

/** All names of these tests end with `.test`: only the proxy knows them. */
suite("a daemon behind a proxy", () => {
  const folder = temporaryFolder("proxies");
  let daemon: TestDaemon;
  let proxy: ForwardProxy;
  let registry: StallingRegistry;
  let git: HttpGitServer;
  let files: Server;
  let secure: TestRegistry;
  let ports: ReadonlyMap<string, number>;

  before(async () => {
    registry = await StallingRegistry.start();
    registry.putImage("base", await shellLayer(folder.path));
    makeRepository(join(folder.path, "repositories/code.git"), { "in-git": "from git\n" });
    git = await HttpGitServer.start(join(folder.path, "repositories"));
    files = createServer((_request, response) => response.end("from the web\n"));
    await new Promise<void>((resolve) => files.listen(0, "127.0.0.1", resolve));
    const authority = await CertificateAuthority.make(folder.path, "authority");
    const tls = await authority.sign("server", ["DNS:secure.test"]);
    secure = await TestRegistry.start(folder.path, { name: "secure", tls });
    const portOf = (host: string): number => Number(host.split(":").at(-1));
    ports = new Map([
      ["registry.test", portOf(registry.host)],
      ["git.test", portOf(git.url)],
      ["files.test", (files.address() as AddressInfo).port],
      ["secure.test", portOf(secure.host)],
    ]);
    proxy = await ForwardProxy.start(ports);
    writeFileSync(
      join(folder.path, "none.toml"),
      `[registry."registry.test"]\nhttp = true\n[registry."secure.test"]\nca = ["${authority.cert}"]\n`,
    );
    const variables = [`HTTP_PROXY=${proxy.url}`, `HTTPS_PROXY=${proxy.url}`, "NO_PROXY=direct.test,10.0.0.0/8"];
    daemon = await TestDaemon.start(folder.path, [], ["env", ...variables]);
  });

  after(async () => {
    await daemon[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    await git[Symbol.asyncDispose]();
    await secure[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    files.close();
    folder[Symbol.dispose]();
  });

  test("pulls and pushes images, fetches files and repositories through it", async () => {
    const dockerfile = `FROM registry.test/base
ADD http://files.test/file /file
ADD http://git.test/code.git#main /git
RUN cat /file /git/in-git
`;
    const context = await busyboxContext(folder.path, dockerfile);
    const exports = [{ type: "image", attributes: { name: "registry.test/pushed:latest", push: "true" } }];
    const { logs } = await solveOk(daemon, context, { exports });
    assert.match(logs, /from the web\nfrom git/);
    for (const host of ["registry.test", "files.test", "git.test"])
      assert.ok(
        proxy.requests.some((request) => request.endsWith(host) && request !== `CONNECT ${host}`),
        host,
      );
    assert.ok(registry.registry.manifest("pushed", "latest") !== undefined);
  });

  test("reaches servers with TLS through it, whose certificates it checks itself", async () => {
    const { code, output } = await daemon.buildctl(["debug", "registry", "secure.test"]);
    assert.equal(code, 0, output);
    assert.match(output, /proxy 127\.0\.0\.1:\d+/);
    assert.match(output, /GET https:\/\/secure\.test\/v2\/: 200 OK/);
    assert.ok(proxy.requests.includes("CONNECT secure.test"));
  });

  test("does all that through a SOCKS proxy with a password, and tells nobody the password", async () => {
    const user = { name: "me", password: "s3cret" };
    await using socks = await SocksServer.start({ ports, user });
    const url = `socks5h://me:s3cret@${socks.host}`;
    const own = mkdtempSync(join(folder.path, "socks-"));
    copyFileSync(join(folder.path, "none.toml"), join(own, "none.toml"));
    await using other = await TestDaemon.start(own, [], ["env", `HTTP_PROXY=${url}`, `HTTPS_PROXY=${url}`]);
    const lines = [
      "FROM registry.test/base",
      "ADD http://files.test/file /file",
      "ADD http://git.test/code.git#main /git",
    ];
    const context = await busyboxContext(folder.path, `${lines.join("\n")}\nRUN cat /file /git/in-git\n`);
    const exports = [{ type: "image", attributes: { name: "registry.test/by-socks:latest", push: "true" } }];
    const { logs } = await solveOk(other, context, { exports });
    assert.match(logs, /from the web\nfrom git/);
    assert.ok(registry.registry.manifest("by-socks", "latest") !== undefined);
    const { code, output } = await other.buildctl(["debug", "registry", "secure.test"]);
    assert.equal(code, 0, output);
    for (const host of ["registry.test", "files.test", "git.test", "secure.test"])
      assert.ok(socks.requests.includes(host), host);
    const unknown = await solveDockerfile(other, await busyboxContext(folder.path, "FROM unknown.test/base\n"));
    assert.match(String(unknown.error), /by SOCKS proxy/);
    assert.doesNotMatch(`${String(unknown.error)}${output}${other.log()}`, /s3cret/);
  });

  test("reaches this machine, and what NO_PROXY names, without it", async () => {
    const before = proxy.requests.length;
    const { logs } = await solveOk(
      daemon,
      await busyboxContext(folder.path, `FROM ${registry.host}/base\nRUN echo direct\n`),
    );
    assert.match(logs, /direct/);
    const unknown = await solveDockerfile(daemon, await busyboxContext(folder.path, "FROM direct.test/base\n"));
    assert.match(String(unknown.error), /no such host/);
    assert.equal(proxy.requests.length, before);
  });

  test("does not let a build's own proxies say where it pulls from", async () => {
    const context = await busyboxContext(folder.path, "FROM registry.test/base\nRUN echo proxy $HTTP_PROXY\n");
    const attributes = { "build-arg:HTTP_PROXY": "http://127.0.0.1:1", "build-arg:HTTPS_PROXY": "http://127.0.0.1:1" };
    await daemon.buildctlOk(["prune", "--all"]);
    const { logs } = await solveOk(daemon, context, { attributes });
    assert.match(logs, /proxy http:\/\/127\.0\.0\.1:1/);
  });
});
