import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair, PassThrough } from "node:stream";
import { suite, test } from "node:test";
import { receiveFiles } from "../receive-files.ts";
import { shareDirectories } from "../serving/file-sync.ts";
import { openTestSession } from "../testing/open-test-session.ts";
import { DataTap } from "./data-tap.ts";
import { bulkSessionOptions, connectionWindowBytes } from "./http2-settings.ts";

const { signal } = new AbortController();
const { settings } = bulkSessionOptions;
const { initialWindowSize, maxFrameSize } = settings;
const clientOptions = { role: "client", settings, connectionWindowBytes } as const;

function dataFrame(streamId: number, length: number): Buffer {
  const frame = Buffer.alloc(9 + length);
  frame.writeUIntBE(length, 0, 3);
  frame.writeUInt32BE(streamId, 5);
  return frame;
}

suite("DataTap", () => {
  test("lets a stream send more than its windows, and gives back what lost streams had of the connection's", async () => {
    const root = mkdtempSync(join(tmpdir(), "data-tap-"));
    using cleanup = new DisposableStack();
    cleanup.defer(() => rmSync(root, { recursive: true }));
    const bytes = Buffer.alloc(20 << 20, "some text, and more\n");
    mkdirSync(join(root, "source"));
    writeFileSync(join(root, "source", "a"), bytes);
    writeFileSync(join(root, "source", "b"), bytes);
    await using session = await openTestSession([shareDirectories({ context: join(root, "source") })]);
    for (const attempt of [1, 2, 3, 4, 5]) {
      // What is in the way makes a transfer fail when the other file has come.
      const destination = join(root, `lost-${attempt}`);
      mkdirSync(destination);
      const controller = new AbortController();
      const transfer = receiveFiles(
        session.caller,
        { name: "context", destination, onProgress: (received) => received > 4 << 20 && controller.abort() },
        { signal: controller.signal },
      );
      await assert.rejects(transfer, { name: "AbortError" });
    }
    const destination = join(root, "destination");
    mkdirSync(destination);
    await receiveFiles(session.caller, { name: "context", destination }, { signal });
    for (const name of ["a", "b"]) assert.ok(readFileSync(join(destination, name)).equals(bytes));
  });

  test("tells the peer that it may send more once data were dealt with", async () => {
    const [ours, theirs] = duplexPair();
    await using tap = new DataTap(ours, clientOptions);
    tap.resume();
    const received = Promise.withResolvers<void>();
    let bytes = 0;
    using diverted = tap.divert(5, ({ length }) => {
      bytes += length;
      if (bytes === maxFrameSize) received.resolve();
      return undefined;
    });
    theirs.write(dataFrame(5, maxFrameSize));
    await received.promise;
    assert.ok(diverted !== undefined);
    diverted.taken(maxFrameSize - 1);
    assert.equal(theirs.read(), null);
    diverted.taken(1);
    let updates = Buffer.alloc(0);
    while (updates.length < 26) {
      const chunk = theirs.read() as Buffer | null;
      if (chunk === null) await once(theirs, "readable");
      else updates = Buffer.concat([updates, chunk]);
    }
    assert.deepEqual([updates.readUInt32BE(5), updates.readUInt32BE(9)], [0, maxFrameSize]);
    assert.deepEqual([updates.readUInt32BE(18), updates.readUInt32BE(22)], [5, maxFrameSize]);
  });

  test("refills the connection's window for streams of which none has dealt with much", async () => {
    const [ours, theirs] = duplexPair();
    await using tap = new DataTap(ours, clientOptions);
    tap.resume();
    const size = 900_000;
    const streams = Array.from({ length: 40 }, (_, i) => 2 * i + 1);
    let refilled = 0;
    const enough = Promise.withResolvers<void>();
    theirs.on("data", (frame: Buffer) => {
      for (; frame.length >= 13; frame = frame.subarray(13))
        if (frame[3] === 8 && frame.readUInt32BE(5) === 0) refilled += frame.readUInt32BE(9);
      if (refilled > (streams.length - 2) * size) enough.resolve();
    });
    for (const id of streams) {
      const diverted = tap.divert(id, ({ length }) => {
        diverted?.taken(length);
        return undefined;
      });
    }
    tap.once("error", enough.reject);
    for (const id of streams) theirs.write(dataFrame(id, size));
    await enough.promise;
  });

  test("gives the memory of a socket's chunks back unless their reader keeps them", async () => {
    for (const answer of ["keep", undefined] as const) {
      const socket = new PassThrough();
      await using tap = new DataTap(socket, { ...clientOptions, isSocket: true });
      tap.resume();
      const given = Promise.withResolvers<Buffer>();
      using _diverted = tap.divert(5, (data) => {
        given.resolve(data);
        return answer;
      });
      const chunk = dataFrame(5, 1 << 16);
      socket.write(chunk);
      assert.equal((await given.promise).length === 0, answer === undefined);
    }
  });

  test("counts what went to a server's HTTP/2 before a stream was diverted, as long as it may send more", async () => {
    const [ours, theirs] = duplexPair();
    await using tap = new DataTap(ours, { ...clientOptions, role: "server" });
    const passed: Buffer[] = [];
    tap.on("data", (chunk: Buffer) => void passed.push(chunk));
    const end = dataFrame(3, 50);
    end[4] = 0x1;
    const before = Buffer.concat([Buffer.alloc(24), dataFrame(1, 100), end, dataFrame(1, 200)]);
    theirs.write(before);
    while (Buffer.concat(passed).length < before.length) await once(tap, "data");
    assert.equal(tap.divert(1, () => undefined)?.bytesBefore, 300);
    assert.equal(tap.divert(3, () => undefined)?.bytesBefore, 0);
  });

  test("passes the end of a stream in a later turn than what came with it", async () => {
    const [ours, theirs] = duplexPair();
    const tap = new DataTap(ours, clientOptions);
    const [answer, end] = [dataFrame(1, 100), dataFrame(1, 0)];
    end[4] = 0x1;
    const passed: number[] = [];
    tap.on("data", ({ length }: Buffer) => {
      passed.push(length);
      process.nextTick(() => passed.push(0));
    });
    theirs.write(Buffer.concat([answer, end]));
    while (passed.length < 3) await once(tap, "data");
    tap.destroy();
    assert.deepEqual(passed.slice(0, 3), [answer.length, 0, end.length]);
  });

  for (const [name, streams] of [
    ["on a stream", [5]],
    ["on a connection, though not on any of its streams", [1, 3, 5, 7]],
  ] as const) {
    test(`ends a connection whose peer sends more than it may ${name}, and says why`, async () => {
      const [ours, theirs] = duplexPair();
      const tap = new DataTap(ours, clientOptions);
      let taken = 0;
      using diverted = new DisposableStack();
      for (const id of streams) diverted.use(tap.divert(id, ({ length }) => void (taken += length)));
      const failed = once(tap, "error");
      const received: Buffer[] = [];
      theirs.on("data", (chunk: Buffer) => void received.push(chunk));
      const windowBytes = Math.min(initialWindowSize * streams.length, connectionWindowBytes);
      for (let sent = 0; sent <= windowBytes; sent += maxFrameSize)
        theirs.write(dataFrame(streams[(sent / maxFrameSize) % streams.length] ?? 0, maxFrameSize));
      const [error] = (await failed) as [Error];
      assert.match(error.message, /more than it may/);
      assert.equal(taken, windowBytes);
      assert.ok(ours.destroyed);
      const frame = Buffer.concat(received);
      assert.deepEqual([frame.length, frame[3], frame.readUInt32BE(13)], [17, 7, 3]);
    });
  }

  test("counts padding and what is dealt with, and has the window of streams that are given up for others", async () => {
    const [ours, theirs] = duplexPair();
    await using tap = new DataTap(ours, clientOptions);
    theirs.resume();
    let left = 0;
    const cycle = async (id: number): Promise<void> => {
      const received = Promise.withResolvers<void>();
      left = initialWindowSize - (initialWindowSize / maxFrameSize) * 256;
      using diverted = tap.divert(id, ({ length }) => {
        left -= length;
        if (left === 0) received.resolve();
        return undefined;
      });
      for (let sent = 0; sent < initialWindowSize; sent += maxFrameSize) {
        const frame = dataFrame(id, maxFrameSize);
        frame[4] = 0x8;
        frame[9] = 255;
        theirs.write(frame);
      }
      await received.promise;
      // Half is dealt with, the other half is given back with the stream.
      diverted?.taken(initialWindowSize / 2);
    };
    for (const id of [1, 3, 5, 7, 9, 11]) await cycle(id);
    assert.equal(tap.destroyed, false);
  });
});
