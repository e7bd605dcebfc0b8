import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import type { ServerHttp2Stream } from "node:http2";
import { join } from "node:path";
import { afterEach, before, suite, test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { FileSync } from "@buildkit-ts/api/buildkit/filesync";
import type { StatSchema } from "@buildkit-ts/api/fsutil/stat";
import { Packet_PacketType, PacketSchema } from "@buildkit-ts/api/fsutil/wire";
import { definitionToProto, local, scratch } from "@buildkit-ts/llb";
import { busyboxContext, shellStage } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { leftoversAfter } from "./support/leftovers.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";
import { type Solved, solve, solveOk } from "./support/solve.ts";

type Stat = MessageInitShape<typeof StatSchema>;
/** What a client sends instead of a directory. */
type Sender = (stream: ServerHttp2Stream) => Promise<void>;

const directoryBit = 2 ** 31;
const symlinkBit = 2 ** 27;
const directory = (path: string): Stat => ({ path, mode: directoryBit + 0o755 });
const file = (path: string, more: Stat = {}): Stat => ({ path, mode: 0o644, size: 1n, ...more });

suite("a client whose directory is not what it seems", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("hostile-contexts"));
  let daemon: TestDaemon;

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  afterEach(async () => {
    assert.deepEqual(await leftoversAfter(daemon.root, { timeoutMs: 10_000 }), []);
    assert.equal(existsSync(join(daemon.root, "owned")), false);
  });

  const copyOf = async (send: Sender): Promise<Solved> => {
    const copied = scratch().copy(local("context"), { src: "/", dest: "/" });
    return await solve(daemon, {
      definition: definitionToProto(copied.marshal({ platform: { os: "linux", architecture: "amd64" } })),
      attachables: [(server) => server.handleStream(FileSync.method.diffCopy, send)],
    });
  };

  const list =
    (...stats: readonly Stat[]): Sender =>
    async (stream) => {
      for (const stat of stats) await write(stream, { type: Packet_PacketType.PACKET_STAT, stat });
      await write(stream, { type: Packet_PacketType.PACKET_STAT });
      for await (const _answer of stream);
    };

  const refused: readonly (readonly [name: string, send: Sender, message: RegExp])[] = [
    ["a path out of it", list(file("../../../owned")), /escape check/],
    ["an absolute path", list(file("/owned")), /absolute path/],
    [
      "a file behind a link",
      list({ path: "l", mode: symlinkBit + 0o777, linkname: "../../.." }, file("l/owned")),
      /changes out of order/,
    ],
    ["a second name of what is not there", list(file("a", { linkname: "../../../state.db" })), /to unknown path/],
    ["a name that is too long", list(file("x".repeat(4000))), /file name too long/],
    ["attributes without end", list(file("a", { xattrs: { "user.a": Buffer.alloc(17 << 20) } })), /over the limit/],
    ["a negative size", list(file("a", { size: -1n })), /a size of -1/],
    [
      "a file without end",
      async (stream) => {
        await write(stream, { type: Packet_PacketType.PACKET_STAT, stat: file("endless", { size: 1n << 20n }) });
        await write(stream, { type: Packet_PacketType.PACKET_STAT });
        const data = Buffer.alloc(1 << 20);
        while (!stream.closed) await write(stream, { type: Packet_PacketType.PACKET_DATA, ID: 0, data });
      },
      /"endless": it was listed with 1048576 bytes and more came/,
    ],
    [
      "another protocol",
      async (stream) => {
        stream.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
        for await (const _answer of stream);
      },
      /compression is not supported|over the limit/,
    ],
  ];
  for (const [name, send, message] of refused) {
    test(`is told why ${name} is refused`, async () => {
      const { error } = await copyOf(send);
      assert.match(String(error), message);
    });
  }

  test("may have a tree of a thousand directories in one another, which is removed again", async () => {
    const depth = 1000;
    const deep = Array.from({ length: depth }, (_unused, index) => directory("d/".repeat(index + 1).slice(0, -1)));
    const { error } = await copyOf(async (stream) => {
      for (const stat of deep) await write(stream, { type: Packet_PacketType.PACKET_STAT, stat });
      await write(stream, { type: Packet_PacketType.PACKET_STAT });
      for await (const _answer of stream) await write(stream, { type: Packet_PacketType.PACKET_FIN });
    });
    assert.equal(error, undefined);
    await daemon.buildctlOk(["prune", "--all"]);
    assert.doesNotMatch(await daemon.buildctlOk(["du"]), /local source/);
  });

  test("leaves a daemon that builds for others", async () => {
    const context = await busyboxContext(folder.path, `${shellStage}RUN echo well\n`);
    assert.match((await solveOk(daemon, context)).logs, /well/);
  });
});

async function write(stream: ServerHttp2Stream, packet: MessageInitShape<typeof PacketSchema>): Promise<void> {
  const message = toBinary(PacketSchema, create(PacketSchema, packet));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  if (stream.closed || stream.destroyed) return;
  stream.write(prefix);
  if (stream.write(message)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.once("drain", done);
    stream.once("close", done);
  });
}
