import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Stream, connect, createServer, type ServerHttp2Stream } from "node:http2";
import { connect as connectSocket } from "node:net";
import { suite, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { SessionStream } from "./session-stream.ts";
import { divertFrom, tapConnections } from "./tapped-server.ts";

const http2Options = { settings: { initialWindowSize: 4 << 20, maxFrameSize: 16_384 } };
const { initialWindowSize } = http2Options.settings;
const tapOptions = { ...http2Options, connectionWindowBytes: 8 << 20 };

interface Connection extends AsyncDisposable {
  readonly client: ClientHttp2Stream;
  readonly session: SessionStream;
  readonly isDiverted: boolean;
}

/** A session on a real socket; the server sees it once the client has sent `first`. */
async function openSession(first: Buffer): Promise<Connection> {
  await using stack = new AsyncDisposableStack();
  const server = tapConnections(createServer(http2Options), "connection", tapOptions).listen(0, "127.0.0.1");
  server.on("session", (session) => session.setLocalWindowSize(tapOptions.connectionWindowBytes));
  stack.defer(async () => await new Promise<void>((settle) => void server.close(() => settle())));
  await once(server, "listening");
  const accepted = once(server, "stream") as Promise<[ServerHttp2Stream]>;
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const client = connect(`http://127.0.0.1:${address.port}`, { maxSessionMemory: 256 });
  stack.defer(async () => {
    const closed = once(client, "close");
    client.destroy();
    await closed;
  });
  const stream = client.request({ ":method": "POST", ":path": "/" }, { endStream: false });
  stream.on("error", () => undefined);
  stream.write(first);
  const [serverStream] = await accepted;
  serverStream.respond({ ":status": 200 });
  const divert = divertFrom(serverStream);
  const session = new SessionStream(serverStream, divert);
  session.on("error", () => undefined);
  const resources = stack.move();
  return {
    client: stream,
    session,
    isDiverted: divert !== undefined,
    [Symbol.asyncDispose]: async () => await resources.disposeAsync(),
  };
}

/** The gRPC frame of a `BytesMessage`. */
function frame(data: Buffer): Buffer {
  const head = Buffer.from([0, 0, 0, 0, 0, 0x0a, (data.length & 0x7f) | 0x80, (data.length >> 7) | 0x80, 0]);
  head[7] = ((data.length >> 7) & 0x7f) | 0x80;
  head[8] = data.length >> 14;
  head.writeUInt32BE(data.length + 4, 1);
  return Buffer.concat([head, data]);
}

/** Bytes that say where they are. */
function numbered(length: number): Buffer {
  const data = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) data.writeUInt32LE(at, at);
  return data;
}

function framesOf(data: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(data.length / size) }, (_, index) =>
    frame(data.subarray(index * size, (index + 1) * size)),
  );
}

suite("tapConnections", () => {
  test("gives a session all of its bytes in their order, those from before it was diverted too", async () => {
    const data = numbered(24 << 20);
    const [first = Buffer.alloc(0), ...rest] = framesOf(data, 20_000);
    await using connection = await openSession(first);
    const { client, session, isDiverted } = connection;
    assert.ok(isDiverted);
    for (const each of rest) client.write(each);
    client.end();
    let at = 0;
    session.on("data", (chunk: Buffer) => {
      assert.ok(chunk.equals(data.subarray(at, at + chunk.length)));
      at += chunk.length;
    });
    await once(session, "end");
    assert.equal(at, data.length);
  });

  test("holds a client back whose session is not read, and goes on with the same bytes once it is", async () => {
    const data = numbered(24 << 20);
    const [first = Buffer.alloc(0), ...rest] = framesOf(data, 20_000);
    await using connection = await openSession(first);
    const { client, session } = connection;
    let sent = 0;
    for (const each of rest) client.write(each, () => void (sent += each.length));
    client.end();
    // All that the windows let through has come once the server has no more of it to wait for.
    while (session.readableLength < initialWindowSize - (1 << 20)) await nextTurn();
    assert.ok(session.readableLength <= initialWindowSize + (1 << 20));
    assert.ok(sent < data.length);
    const received: Buffer[] = [];
    for await (const chunk of session as AsyncIterable<Buffer>) received.push(Buffer.from(chunk));
    assert.ok(Buffer.concat(received).equals(data));
  });

  test("ends a session that sends what is no message", async () => {
    await using connection = await openSession(frame(Buffer.from("some")));
    const { client, session } = connection;
    session.resume();
    const failed = once(session, "error");
    client.write(Buffer.from([1, 0, 0, 0, 1, 0]));
    const [error] = (await failed) as [Error];
    assert.match(error.message, /compression was not agreed on/);
  });

  test("ends a connection that is no HTTP/2, and serves others", async () => {
    const server = tapConnections(createServer(http2Options), "connection", tapOptions).listen(0, "127.0.0.1");
    server.on("sessionError", () => undefined);
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.respond({ ":status": 204 }, { endStream: true });
    });
    await once(server, "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const stranger = connectSocket(address.port, "127.0.0.1");
    stranger.on("error", () => undefined);
    stranger.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    stranger.resume();
    await once(stranger, "close");
    const client = connect(`http://127.0.0.1:${address.port}`, { maxSessionMemory: 256 });
    const [headers] = (await once(client.request({ ":path": "/" }), "response")) as [Record<string, unknown>];
    assert.equal(headers[":status"], 204);
    client.destroy();
    await new Promise<void>((settle) => void server.close(() => settle()));
  });
});
