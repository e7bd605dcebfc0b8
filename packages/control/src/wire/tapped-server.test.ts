import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Stream, connect, createServer, type ServerHttp2Stream } from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
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

interface RawSessions extends AsyncDisposable {
  readonly socket: Socket;
  readonly sessions: readonly SessionStream[];
}

/** Sessions of a client that heeds no windows. */
async function openRawSessions(count: number): Promise<RawSessions> {
  await using stack = new AsyncDisposableStack();
  const server = tapConnections(createServer(http2Options), "connection", tapOptions).listen(0, "127.0.0.1");
  server.on("session", (session) => {
    session.setLocalWindowSize(tapOptions.connectionWindowBytes);
    session.on("error", () => undefined);
  });
  server.on("sessionError", () => undefined);
  stack.defer(async () => await new Promise<void>((settle) => void server.close(() => settle())));
  await once(server, "listening");
  const sessions: SessionStream[] = [];
  const opened = Promise.withResolvers<void>();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200 });
    const session = new SessionStream(stream, divertFrom(stream));
    session.on("error", () => undefined);
    if (sessions.push(session) === count) opened.resolve();
  });
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const socket = connectSocket(address.port, "127.0.0.1");
  stack.defer(() => void socket.destroy());
  socket.on("error", () => undefined);
  socket.resume();
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(rawFrame({ type: 4, streamId: 0, payload: Buffer.alloc(0) }));
  // POST, http and "/", as HPACK numbers them, and an authority "a".
  const headers = Buffer.from([0x83, 0x86, 0x84, 0x01, 0x01, 0x61]);
  for (let index = 0; index < count; index += 1)
    socket.write(rawFrame({ type: 1, flags: 0x4, streamId: 2 * index + 1, payload: headers }));
  await opened.promise;
  const resources = stack.move();
  return { socket, sessions, [Symbol.asyncDispose]: async () => await resources.disposeAsync() };
}

function rawFrame(parts: {
  readonly type: number;
  readonly flags?: number;
  readonly streamId: number;
  readonly payload: Buffer;
}): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(parts.payload.length, 0, 3);
  head[3] = parts.type;
  head[4] = parts.flags ?? 0;
  head.writeUInt32BE(parts.streamId, 5);
  return Buffer.concat([head, parts.payload]);
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

  for (const [what, bytes, isEnded] of [
    ["ends a connection whose sessions together have more under way than it may", 3.5 * 2 ** 20, true],
    ["leaves one alone that stays within its window", 2.5 * 2 ** 20, false],
  ] as const)
    test(what, async () => {
      await using connection = await openRawSessions(3);
      const { socket, sessions } = connection;
      // With bytes that nobody has read it ends by a reset.
      const closed = new Promise<void>((resolve) => void socket.once("close", () => resolve()));
      // Nobody reads the sessions, and each stays within its stream's window.
      for (let sent = 0; sent < bytes; sent += 16_000)
        for (const [index] of sessions.entries())
          socket.write(rawFrame({ type: 0, streamId: 2 * index + 1, payload: frame(Buffer.alloc(15_991)) }));
      const waiting = (): number => sessions.reduce((sum, { readableLength }) => sum + readableLength, 0);
      if (isEnded) await closed;
      else while (waiting() < sessions.length * (bytes - 32_000)) await nextTurn();
      assert.equal(socket.destroyed, isEnded);
      assert.ok(waiting() <= tapOptions.connectionWindowBytes);
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
