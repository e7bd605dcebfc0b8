import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Packet_PacketType, PacketSchema } from "@buildkit-ts/api/fsutil/wire";
import fc from "fast-check";
import { FrameReader } from "../wire/grpc-frames.ts";
import type { FileStat } from "./file-stat.ts";
import { decodePacket } from "./packet.ts";
import { PacketWriter } from "./packet-writer.ts";

const text = fc.string({ unit: "grapheme", maxLength: 40 }).filter((value) => value.isWellFormed());
const stats: fc.Arbitrary<FileStat> = fc.record<FileStat>(
  {
    path: text,
    mode: fc.nat({ max: 0xffffffff }),
    uid: fc.nat({ max: 0xffffffff }),
    gid: fc.nat({ max: 0xffffffff }),
    size: fc.maxSafeNat(),
    modTime: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    linkName: text,
    devMajor: fc.nat(),
    devMinor: fc.nat(),
    xattrs: fc.option(
      fc.array(fc.tuple(text, fc.uint8Array({ maxLength: 300 })), { minLength: 1 }).map((entries) => new Map(entries)),
      { nil: undefined },
    ),
  },
  { noNullPrototype: true },
);

function messagesOf(writer: PacketWriter): Buffer[] {
  const messages: Buffer[] = [];
  new FrameReader((message) => messages.push(Buffer.from(message))).push(writer.take());
  return messages;
}

suite("packets of file sync", () => {
  test("decodePacket() reads what stat() writes", () => {
    fc.assert(
      fc.property(stats, (stat) => {
        const writer = new PacketWriter();
        writer.stat(stat);
        const [message] = messagesOf(writer);
        assert.ok(message !== undefined);
        assert.deepEqual(decodePacket(message), { type: "stat", stat });
      }),
    );
  });

  test("stat() writes what the schema reads", () => {
    fc.assert(
      fc.property(stats, (stat) => {
        const writer = new PacketWriter();
        writer.stat(stat);
        const packet = fromBinary(PacketSchema, messagesOf(writer)[0] ?? Buffer.alloc(0));
        assert.equal(packet.type, Packet_PacketType.PACKET_STAT);
        assert.equal(packet.stat?.path, stat.path);
        assert.equal(packet.stat.mode, stat.mode);
        assert.equal(packet.stat.modTime, stat.modTime);
        assert.deepEqual(Object.keys(packet.stat.xattrs).sort(), [...(stat.xattrs?.keys() ?? [])].sort());
      }),
    );
  });

  test("decodePacket() reads what the schema writes", () => {
    const data = Buffer.from("content");
    const encoded = toBinary(
      PacketSchema,
      create(PacketSchema, { type: Packet_PacketType.PACKET_DATA, ID: 300, data }),
    );
    assert.deepEqual(decodePacket(Buffer.from(encoded)), { type: "data", id: 300, data });
    const fin = toBinary(PacketSchema, create(PacketSchema, { type: Packet_PacketType.PACKET_FIN }));
    assert.deepEqual(decodePacket(Buffer.from(fin)), { type: "fin" });
  });

  test("decodePacket() answers any bytes with a packet or an error of its own", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          decodePacket(Buffer.from(bytes));
        } catch (error) {
          assert.equal((error as { code?: unknown }).code, "invalid_argument");
        }
      }),
    );
  });
});
