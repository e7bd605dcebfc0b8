import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { controlpb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import fc from "fast-check";
import { FrameParser } from "./session-stream.ts";

function frame(data: Uint8Array): Buffer {
  const message = toBinary(controlpb.BytesMessageSchema, create(controlpb.BytesMessageSchema, { data }));
  const header = Buffer.alloc(5);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

function split(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let offset = 0;
  for (const size of sizes) {
    pieces.push(bytes.subarray(offset, offset + size));
    offset += size;
  }
  return [...pieces, bytes.subarray(offset)];
}

test("FrameParser gives the data of all messages, however the bytes are cut", () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 });
  fc.assert(
    fc.property(messages, fc.array(fc.nat({ max: 40 }), { maxLength: 80 }), (datas, sizes) => {
      const received: Buffer[] = [];
      const parser = new FrameParser((data) => received.push(Buffer.from(data)));
      for (const piece of split(Buffer.concat(datas.map(frame)), sizes)) parser.push(piece);
      assert.deepEqual(Buffer.concat(received), Buffer.concat(datas));
    }),
  );
});

test("FrameParser refuses garbage with invalid_argument and nothing else", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 10 }), (chunks) => {
      const parser = new FrameParser(() => undefined);
      try {
        for (const chunk of chunks) parser.push(Buffer.from(chunk));
      } catch (error) {
        assert.ok(error instanceof BuildError);
        assert.equal(error.code, "invalid_argument");
      }
    }),
  );
});
