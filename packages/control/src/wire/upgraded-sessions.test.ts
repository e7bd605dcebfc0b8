import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request as startRequest } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { suite, test } from "node:test";
import { getSecret, LocalSessionManager } from "@buildkit-ts/session";
import { ClientSession, provideSecrets } from "@buildkit-ts/session/serving";
import { UpgradedSessions } from "./upgraded-sessions.ts";

interface Daemon extends AsyncDisposable {
  readonly port: number;
  readonly sessions: LocalSessionManager;
  readonly stopped: AbortController;
}

async function openDaemon(options: { readonly requestTimeoutMs?: number } = {}): Promise<Daemon> {
  const sessions = new LocalSessionManager();
  const stopped = new AbortController();
  const errors = { report: (error: unknown): never => assert.fail(String(error)) };
  const upgraded = new UpgradedSessions({ sessions, errors, signal: stopped.signal, ...options });
  const server = createServer((socket) => upgraded.accept(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return {
    port: address.port,
    sessions,
    stopped,
    async [Symbol.asyncDispose](): Promise<void> {
      stopped.abort(new DOMException("The test is over", "AbortError"));
      await new Promise<void>((settle) => void server.close(() => settle()));
    },
  };
}

function post(port: number, headers: Record<string, string | string[]>, path = "/session"): ClientRequest {
  const request = startRequest({ port, host: "127.0.0.1", method: "POST", path, headers });
  request.on("error", () => undefined);
  return request.end();
}

function sessionHeaders(session: ClientSession): Record<string, string | string[]> {
  const entries = Object.entries(session.metadata).map(([name, value]): [string, string | string[]] => [
    name,
    typeof value === "string" ? value : [...value],
  ]);
  return { connection: "Upgrade", upgrade: "h2c", ...Object.fromEntries(entries) };
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response as AsyncIterable<Buffer>) text += chunk.toString();
  return `${response.statusCode} ${text}`;
}

/** What comes of raw bytes until the other side closes. */
async function rawAnswer(port: number, bytes: string): Promise<string> {
  const socket: Socket = connect(port, "127.0.0.1");
  let answer = "";
  socket.on("data", (chunk) => void (answer += chunk.toString("latin1")));
  socket.on("error", () => undefined);
  socket.write(bytes);
  await once(socket, "close");
  return answer;
}

suite("POST /session", () => {
  for (const path of ["/session", "/v1.41/session"])
    test(`${path}: the connection becomes a session, on which the client serves`, async () => {
      await using daemon = await openDaemon();
      process.env["UPGRADED_SECRET"] = "told";
      const session = new ClientSession({ sharedKey: "k", attachables: [provideSecrets([{ id: "UPGRADED_SECRET" }])] });
      const request = post(daemon.port, sessionHeaders(session), path);
      const [response, socket, head] = (await once(request, "upgrade")) as [IncomingMessage, Socket, Buffer];
      // The daemon speaks first.
      socket.unshift(head);
      assert.deepEqual([response.statusCode, response.headers.upgrade], [101, "h2c"]);
      const ended = new AbortController();
      const served = session.serve(socket, { signal: ended.signal });
      const { signal } = daemon.stopped;
      const caller = await daemon.sessions.get(session.id, { signal });
      assert.equal(caller.sharedKey, "k");
      assert.ok(caller.supports("/moby.buildkit.secrets.v1.Secrets/GetSecret"), "repeated headers stay apart");
      assert.equal(Buffer.from(await getSecret(caller, "UPGRADED_SECRET", { signal })).toString(), "told");

      const again = post(daemon.port, sessionHeaders(session));
      const [refused] = (await once(again, "response")) as [IncomingMessage];
      assert.equal(await textOf(refused), `400 session ${session.id} already exists\n`);

      ended.abort(new DOMException("The client goes", "AbortError"));
      await served;
      await once(caller.closed, "abort");
    });

  const id = "x-docker-expose-session-uuid: a\r\n";
  const upgrade = "connection: upgrade\r\nupgrade: h2c\r\n";
  for (const [what, request, answer] of [
    ["without a protocol", `POST /session HTTP/1.1\r\nhost: a\r\n${id}\r\n`, /^HTTP\/1.1 400 .*no upgrade proto/s],
    [
      "for another protocol",
      `POST /session HTTP/1.1\r\nhost: a\r\n${id}connection: upgrade\r\nupgrade: websocket\r\n\r\n`,
      /^HTTP\/1.1 400 .*protocol websocket not supported/s,
    ],
    ["without an id", `POST /session HTTP/1.1\r\nhost: a\r\n${upgrade}\r\n`, /^HTTP\/1.1 400 .*has no id/s],
    ["of another method", `GET /session HTTP/1.1\r\nhost: a\r\n${id}${upgrade}\r\n`, /^HTTP\/1.1 400 .*only POST/s],
    ["of another path", "GET /info HTTP/1.1\r\nhost: a\r\n\r\n", /^HTTP\/1.1 404 .*BuildKit daemon: it serves gRPC/s],
    ["that is no HTTP", "GET\0/ nonsense\r\n\r\n", /^HTTP\/1.1 400 /],
    ["without end", `POST /session HTTP/1.1\r\nx: ${"y".repeat(100_000)}`, /^HTTP\/1.1 431 /],
  ] as const)
    test(`a request ${what} is refused, and its connection closed`, async () => {
      await using daemon = await openDaemon();
      assert.match(await rawAnswer(daemon.port, request), answer);
    });

  test("a client that does not finish its request is not waited for", async () => {
    await using daemon = await openDaemon({ requestTimeoutMs: 50 });
    assert.equal(await rawAnswer(daemon.port, "POST /session HTTP/1.1\r\nhost: a\r\n"), "");
    assert.match(
      await rawAnswer(daemon.port, "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n"),
      /^HTTP\/1.1 404/,
    );
  });

  test("sessions end with the daemon", async () => {
    await using daemon = await openDaemon();
    const request = post(daemon.port, sessionHeaders(new ClientSession({ sharedKey: "", attachables: [] })));
    const [, socket] = (await once(request, "upgrade")) as [IncomingMessage, Socket];
    socket.on("error", () => undefined);
    socket.resume();
    daemon.stopped.abort(new DOMException("The daemon stops", "AbortError"));
    await once(socket, "close");
  });
});
