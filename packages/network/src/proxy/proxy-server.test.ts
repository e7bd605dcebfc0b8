import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, request, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { systemClock } from "@buildkit-ts/async";
import { CertificateAuthority } from "./certificate-authority.ts";
import type { ProxyReport } from "./proxy-report.ts";
import { type ProxyHooks, ProxyServer } from "./proxy-server.ts";

const signal = new AbortController().signal;
let authority: CertificateAuthority;
/** Vouches for the servers beyond the proxy. */
let outside: CertificateAuthority;
const folder = mkdtempSync(join(tmpdir(), "proxy-server-"));

before(async () => {
  authority = await CertificateAuthority.create(systemClock, { signal });
  outside = await CertificateAuthority.create(systemClock, { signal });
  writeFileSync(join(folder, "ca.pem"), outside.certificate);
  process.env["SSL_CERT_FILE"] = join(folder, "ca.pem");
});

after(async () => {
  await authority[Symbol.asyncDispose]();
  await outside[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** A proxy, and a client of it. */
class Fixture implements AsyncDisposable {
  readonly checked: { readonly method: string; readonly url: string }[] = [];
  readonly port: number;
  readonly #proxy: ProxyServer;
  readonly #stack: AsyncDisposableStack;

  private constructor(proxy: ProxyServer, port: number) {
    this.#proxy = proxy;
    this.port = port;
    this.#stack = new AsyncDisposableStack();
  }

  static async start(check: ProxyHooks["check"] = async () => undefined): Promise<Fixture> {
    const proxy = new ProxyServer({
      check: async (asked) => {
        fixture.checked.push(asked);
        return await check(asked);
      },
      identify: async (host) => await authority.identify(host),
    });
    const fixture: Fixture = new Fixture(proxy, await proxy.listen("127.0.0.1"));
    return fixture;
  }

  /** @returns The server's URL, without a slash at its end. */
  async serve(handle: RequestListener): Promise<string> {
    return `http://127.0.0.1:${await this.#listen(createServer(handle))}`;
  }

  async serveSecurely(handle: RequestListener, by = outside): Promise<string> {
    const { certificate, key } = await by.identify("127.0.0.1");
    return `https://127.0.0.1:${await this.#listen(createSecureServer({ cert: certificate, key }, handle))}`;
  }

  async #listen(server: Server): Promise<number> {
    await once(server.listen(0, "127.0.0.1"), "listening");
    this.#stack.defer(() => {
      server.close();
      server.closeAllConnections();
    });
    return (server.address() as AddressInfo).port;
  }

  async get(
    url: string,
    options: { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string } = {},
  ): Promise<Answer> {
    const { body, ...others } = options;
    return await answerOf(request({ host: "127.0.0.1", port: this.port, path: url, agent: false, ...others }), body);
  }

  /** What comes back for some bytes, until the proxy closes the connection. */
  async raw(text: string): Promise<string> {
    return await readAll(connect(this.port, "127.0.0.1"), text);
  }

  async tunnel(host: string): Promise<{ readonly socket: Socket; readonly head: string }> {
    const socket = connect(this.port, "127.0.0.1");
    socket.write(`CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    const [head] = (await once(socket, "data")) as [Buffer];
    return { socket, head: head.toString() };
  }

  async secureTunnel(url: string, ALPNProtocols?: string[]): Promise<TLSSocket> {
    const { socket } = await this.tunnel(new URL(url).host);
    const secure = connectTls({ socket, ca: authority.certificate, host: new URL(url).hostname, ALPNProtocols });
    await once(secure, "secureConnect");
    return secure;
  }

  async report(): Promise<ProxyReport> {
    return await this.#proxy.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#proxy.stop();
    await this.#stack.disposeAsync();
  }
}

async function answerOf(sent: ReturnType<typeof request>, body?: string): Promise<Answer> {
  sent.end(body);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces).toString() };
}

async function readAll(socket: Socket, text: string): Promise<string> {
  socket.on("error", () => undefined);
  socket.write(text);
  let all = "";
  socket.on("data", (data) => (all += String(data)));
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  return all;
}

function digest(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

suite("ProxyServer", () => {
  test("passes answers on as they are, and records what was fetched", async () => {
    await using fixture = await Fixture.start();
    const origin = await fixture.serve((asked, response) => {
      response.writeHead(200, { "Content-Encoding": "gzip", "X-Asked": asked.headers["accept-encoding"] ?? "nothing" });
      response.end("a body");
    });
    const answer = await fixture.get(`${origin}/file?a=b#part`, { headers: { "Accept-Encoding": "gzip" } });
    assert.equal(answer.status, 200);
    assert.equal(answer.body, "a body");
    assert.equal(answer.headers["content-encoding"], "gzip");
    assert.equal(answer.headers["x-asked"], "nothing");
    const url = `${origin}/file?a=b`;
    assert.deepEqual(fixture.checked, [{ method: "GET", url }]);
    assert.deepEqual(await fixture.report(), {
      requests: [{ method: "GET", url, status: 200 }],
      materials: [{ url, digest: digest("a body") }],
      incomplete: [],
    });
  });

  test("fetches by TLS what clients ask of it without a tunnel", async () => {
    await using fixture = await Fixture.start();
    const origin = await fixture.serveSecurely((_asked, response) => response.end("secret"));
    assert.equal((await fixture.get(`${origin}/`)).body, "secret");
    assert.deepEqual((await fixture.report()).materials, [{ url: `${origin}/`, digest: digest("secret") }]);
  });

  test("looks into tunnels", async () => {
    await using fixture = await Fixture.start();
    const origin = await fixture.serveSecurely((asked, response) => response.end(`for ${asked.headers.host}`));
    const secure = await fixture.secureTunnel(origin);
    const answers = await readAll(
      secure,
      "GET /one HTTP/1.1\r\nHost: x\r\n\r\nGET /two HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert.equal(answers.match(/HTTP\/1.1 200 OK/g)?.length, 2);
    assert.match(
      answers,
      new RegExp(`for ${new URL(origin).host}`),
      "the host that was checked is the one that is asked",
    );
    assert.deepEqual(
      fixture.checked.map(({ url }) => url),
      [`${origin}/one`, `${origin}/two`],
    );
    assert.equal((await fixture.report()).materials.length, 2);
  });

  test("trusts no server that nobody vouches for", async () => {
    await using fixture = await Fixture.start();
    const origin = await fixture.serveSecurely((_asked, response) => response.end("fake"), authority);
    const answer = await fixture.get(`${origin}/`);
    assert.equal(answer.status, 502);
    assert.deepEqual((await fixture.report()).incomplete, [
      { method: "GET", url: `${origin}/`, reason: "upstream_error" },
    ]);
  });

  test("answers 403 for what is denied, and asks no server", async () => {
    await using fixture = await Fixture.start(async () => await Promise.reject(new Error("denied")));
    let asked = 0;
    const origin = await fixture.serve((_asked, response) => {
      asked += 1;
      response.end();
    });
    assert.match(await fixture.raw(`GET ${origin}/ HTTP/1.1\r\nHost: a\r\n\r\n`), /^HTTP\/1.1 403 Forbidden\r\n/);
    assert.equal(asked, 0);
    assert.deepEqual((await fixture.report()).requests, [{ method: "GET", url: `${origin}/`, status: 403 }]);
  });

  test("fetches what a request was converted to", async () => {
    let other = "";
    await using fixture = await Fixture.start(async () => other);
    const origin = await fixture.serve((asked, response) => response.end(asked.url));
    other = `${origin}/other`;
    assert.equal((await fixture.get(`${origin}/one`)).body, "/other");
    assert.deepEqual((await fixture.report()).materials, [{ url: other, digest: digest("/other") }]);
  });

  test("takes an address that sent its client on for a name of what was fetched there", async () => {
    await using fixture = await Fixture.start();
    const origin = await fixture.serve((asked, response) => {
      if (asked.url === "/end") response.end("there");
      else response.writeHead(302, { Location: asked.url === "/start" ? "/next" : "end" }).end();
    });
    for (const path of ["/start", "/next", "/end"]) await fixture.get(`${origin}${path}`);
    const { materials, incomplete } = await fixture.report();
    assert.deepEqual(incomplete, []);
    assert.deepEqual(
      materials,
      ["/end", "/next", "/start"].map((path) => ({ url: `${origin}${path}`, digest: digest("there") })),
    );
  });

  test("tells what is no material, and why", async () => {
    await using fixture = await Fixture.start();
    const origin = await fixture.serve((asked, response) => {
      if (asked.url === "/cut")
        response.writeHead(200, { "Content-Length": "10" }).write("cut", () => response.destroy());
      else asked.pipe(response.writeHead(asked.url === "/missing" ? 404 : 200));
    });
    assert.equal((await fixture.get(`${origin}/post`, { method: "POST", body: "echo" })).body, "echo");
    await fixture.get(`${origin}/range`, { headers: { Range: "bytes=0-1" } });
    await fixture.get(`${origin}/missing`);
    await assert.rejects(fixture.get(`${origin}/cut`), /aborted/);
    const { materials, incomplete } = await fixture.report();
    assert.deepEqual(materials, []);
    assert.deepEqual(incomplete, [
      { method: "POST", url: `${origin}/post`, reason: "method_not_materializable" },
      { method: "GET", url: `${origin}/range`, reason: "partial_response" },
      { method: "GET", url: `${origin}/missing`, reason: "unsuccessful_response" },
      { method: "GET", url: `${origin}/cut`, reason: "body_read_failed" },
    ]);
  });

  test("hands credentials to the server and shows them to nobody else", async () => {
    await using fixture = await Fixture.start();
    const origin = await fixture.serve((asked, response) => response.end(asked.headers.authorization));
    const answer = await fixture.get(`${origin.replace("//", "//user:pass@")}/`);
    assert.equal(answer.body, `Basic ${Buffer.from("user:pass").toString("base64")}`);
    const shown = `${origin.replace("//", "//xxxxx:xxxxx@")}/`;
    assert.deepEqual(fixture.checked, [{ method: "GET", url: shown }]);
    const { requests, materials } = await fixture.report();
    assert.deepEqual([requests[0]?.url, materials[0]?.url], [shown, shown]);
  });

  test("keeps headers that concern the connection to itself", async () => {
    await using fixture = await Fixture.start();
    const origin = await fixture.serve((asked, response) => response.end(JSON.stringify(asked.headers)));
    const text = await fixture.raw(
      `GET ${origin}/ HTTP/1.1\r\nHost: elsewhere.invalid\r\nConnection: close, X-Hop, Upgrade\r\nX-Hop: 1\r\nUpgrade: websocket\r\n` +
        "Proxy-Authorization: Basic x\r\nTE: trailers\r\nX-End: 2\r\n\r\n",
    );
    assert.match(text, /^HTTP\/1.1 200 OK\r\n/);
    const headers = JSON.parse(/\{.*\}/.exec(text)?.[0] ?? "") as Record<string, string>;
    assert.deepEqual(headers, { host: new URL(origin).host, "x-end": "2", connection: "keep-alive" });
  });

  test("refuses messages that two parsers may read differently", async () => {
    await using fixture = await Fixture.start();
    let bodies = 0;
    const origin = await fixture.serve((_asked, response) => {
      bodies += 1;
      response.end();
    });
    const head = `POST ${origin}/ HTTP/1.1\r\nHost: a\r\n`;
    for (const text of [
      `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET ${origin}/ HTTP/1.1\r\n\r\n`,
      `${head}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`,
      `${head}Transfer-Encoding: xchunked\r\n\r\nabcde`,
      `${head}Content-Length : 4\r\n\r\nabcd`,
      "GET /x HTTP/1.1\r\n\r\n",
    ]) {
      assert.match(await fixture.raw(text), /^HTTP\/1.1 400 /, text);
    }
    assert.equal(bodies, 0);
  });

  test("asks for nothing but web pages, of nobody but the tunnel's host", async () => {
    await using fixture = await Fixture.start();
    for (const url of ["ftp://host.invalid/", "file:///etc/passwd", "*", "http://", "mailto:x"]) {
      const text = `GET ${url} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
      assert.match(await fixture.raw(text), /^HTTP\/1.1 400 /, url);
    }
    for (const host of ["host.invalid", "user@host.invalid:443", "host.invalid:443/x", ":443", "host.invalid:99999"]) {
      assert.match(await fixture.raw(`CONNECT ${host} HTTP/1.1\r\n\r\n`), /^HTTP\/1.1 400 /, host);
    }
    const secure = await fixture.secureTunnel("https://host.invalid:8443");
    const text = await readAll(secure, "GET https://other.invalid/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.match(text, /^HTTP\/1.1 400 /);
    assert.deepEqual(fixture.checked, []);
  });

  test("lets nothing through a tunnel that is no TLS, or no HTTP in it", async () => {
    await using fixture = await Fixture.start();
    let connections = 0;
    const server = createTcpServer((socket) => {
      connections += 1;
      socket.end("SSH-2.0");
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { socket, head } = await fixture.tunnel(host);
    assert.match(head, /^HTTP\/1.1 200 Connection Established\r\n/);
    assert.doesNotMatch(await readAll(socket, "SSH-2.0-client\r\n\r\n"), /SSH/);
    const secure = await fixture.secureTunnel(`https://${host}`);
    assert.match(await readAll(secure, "\0\x01garbage\r\n\r\n"), /^HTTP\/1.1 400 /);
    await assert.rejects(fixture.secureTunnel(`https://${host}`, ["h2"]));
    server.close();
    assert.equal(connections, 0);
  });

  test("answers clients that say that they send no more", async () => {
    await using fixture = await Fixture.start();
    const origin = await fixture.serve((_asked, response) => void setImmediate(() => response.end("a body")));
    const socket = connect({ port: fixture.port, host: "127.0.0.1", allowHalfOpen: true });
    const answer = readAll(socket, `GET ${origin}/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    socket.once("end", () => socket.end());
    socket.end();
    assert.match(await answer, /^HTTP\/1.1 200 OK\r\n[^]*a body/);
  });

  test("stop() ends also while a server keeps a client waiting", async () => {
    const fixture = await Fixture.start();
    const arrived = Promise.withResolvers<void>();
    const origin = await fixture.serve(() => arrived.resolve());
    const socket = connect(fixture.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(`GET ${origin}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
    await arrived.promise;
    socket.destroy();
    const { incomplete } = await fixture.report();
    assert.deepEqual(incomplete, [{ method: "GET", url: `${origin}/`, reason: "upstream_error" }]);
    await fixture[Symbol.asyncDispose]();
  });
});
