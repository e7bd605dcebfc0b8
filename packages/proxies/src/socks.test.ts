import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, get, type IncomingMessage } from "node:http";
import { createServer as createSecureServer, get as getSecurely } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, suite, test } from "node:test";
import { request } from "undici";
import { dispatcherFor } from "./dispatcher-for.ts";
import { nodeAgents } from "./node-agents.ts";
import { SocksServer } from "./testing/socks-server.ts";

class TemporaryFolder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "socks-"));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

suite("proxies that speak SOCKS", () => {
  const server = createServer((incoming, response) => response.end(`for ${incoming.headers.host}`));
  const user = { name: "me@home", password: "s:cret" };
  const login = "me%40home:s%3Acret";
  let open: SocksServer;
  let closed: SocksServer;

  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
    const ports = new Map([["name.test", (server.address() as AddressInfo).port]]);
    open = await SocksServer.start({ ports });
    closed = await SocksServer.start({ ports, user });
  });
  after(async () => {
    for (const proxy of [open, closed]) await proxy[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
  });

  const ask = async (proxy: string, url = "http://name.test/"): Promise<string> => {
    const dispatcher = dispatcherFor(new URL(proxy), { connect: { timeout: 5000 } });
    try {
      const { body } = await request(url, { dispatcher });
      return await body.text();
    } finally {
      await dispatcher.destroy();
    }
  };

  test("connect undici to names that they look up themselves", async () => {
    for (const scheme of ["socks5", "socks5h"]) assert.equal(await ask(`${scheme}://${open.host}`), "for name.test");
    assert.equal(await ask(`socks5://${login}@${closed.host}`), "for name.test");
    assert.ok(open.requests.every((name) => name === "name.test"));
  });

  test("that do not connect are an error that names both, and no password", async () => {
    const failures = [
      [`socks5://${open.host}`, "http://other.test/"],
      [`socks5://${login}@127.0.0.1:1`],
      [`socks5://me:wr0ng@${closed.host}`],
      [`socks5://${closed.host}`],
      // No server of TLS is there.
      [`socks5://${login}@${open.host}`, "https://name.test/"],
    ] as const;
    for (const [index, [proxy, url]] of failures.entries())
      await assert.rejects(ask(proxy, url), (error) => {
        assert.ok(error instanceof Error);
        if (index < 4) assert.match(error.message, /Cannot connect to "\w+\.test:80" by SOCKS proxy "127/);
        assert.doesNotMatch(JSON.stringify(error) + error.message, /cret|wr0ng/);
        return true;
      });
  });

  test("connect to servers with TLS, whose certificates are checked against the name", async () => {
    using folder = new TemporaryFolder();
    const files = ["-keyout", join(folder.path, "key"), "-out", join(folder.path, "cert")];
    const subject = ["-subj", "/CN=secure.test", "-addext", "subjectAltName=DNS:secure.test", "-days", "2"];
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    execFileSync("openssl", ["req", ...kind, ...files, ...subject], { stdio: "ignore" });
    const [key, cert] = ["key", "cert"].map((name) => readFileSync(join(folder.path, name), "utf8"));
    assert.ok(key !== undefined && cert !== undefined);
    const secure = createSecureServer({ key, cert }, (_incoming, response) => response.end("secure"));
    await new Promise<void>((resolve) => secure.listen(0, "localhost", resolve));
    const { port } = secure.address() as AddressInfo;
    await using proxy = await SocksServer.start({
      ports: new Map(["secure.test", "wrong.test"].map((n) => [n, port])),
    });
    const environment = { HTTPS_PROXY: `socks5h://${proxy.host}` };
    const dispatcher = dispatcherFor(new URL(environment.HTTPS_PROXY), { connect: { timeout: 5000, ca: cert } });
    const agents = nodeAgents({}, environment);
    try {
      const { body } = await request("https://secure.test/", { dispatcher });
      assert.equal(await body.text(), "secure");
      await assert.rejects(request("https://wrong.test/", { dispatcher }), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
      const send = async (url: string): Promise<string> => {
        const options = { agent: agents.https, ca: cert };
        const answer = await new Promise<IncomingMessage>((resolve, reject) => {
          getSecurely(url, options, resolve).on("error", reject);
        });
        return await text(answer);
      };
      assert.equal(await send("https://secure.test/"), "secure");
      await assert.rejects(send("https://wrong.test/"), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
    } finally {
      await dispatcher.destroy();
      agents.https.destroy();
      secure.closeAllConnections();
      secure.close();
    }
  });

  test("connect Node's own requests, and NO_PROXY leaves them out", async () => {
    const send = async (environment: Readonly<Record<string, string>>, url: string): Promise<string> => {
      const agents = nodeAgents({}, environment);
      try {
        const answer = await new Promise<IncomingMessage>((resolve, reject) => {
          get(url, { agent: agents.http }, resolve).on("error", reject);
        });
        return await text(answer);
      } finally {
        agents.http.destroy();
        agents.https.destroy();
      }
    };
    const proxy = { HTTP_PROXY: `socks5://${login}@${closed.host}` };
    assert.equal(await send(proxy, "http://name.test/x"), "for name.test");
    await assert.rejects(send({ ...proxy, NO_PROXY: ".test" }, "http://name.test/x"), { code: /ENOTFOUND|EAI_AGAIN/ });
    await assert.rejects(send(proxy, "http://other.test/"), /by SOCKS proxy/);
    // Clients of object stores give addresses without the brackets of URLs.
    for (const host of ["2001:db8::1", "[2001:db8::1]"]) {
      const agents = nodeAgents({}, proxy);
      const answer = new Promise((resolve, reject) => {
        get({ host, port: 80, agent: agents.http }, resolve).on("error", reject);
      });
      await assert.rejects(answer, /by SOCKS proxy/);
      agents.http.destroy();
    }
    const { port } = server.address() as AddressInfo;
    assert.equal(await send(proxy, `http://localhost:${port}/`), `for localhost:${port}`);
  });
});
