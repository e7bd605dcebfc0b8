import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { BytesMessageParser, bytesMessagePrefix } from "./byte-stream.ts";
import { FrameReader, frameMessage } from "./grpc-frames.ts";

/** Cuts data at the given places. */
function cutAt(data: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % (data.length + 1)), data.length].sort((left, right) => left - right);
  return places.slice(1).map((end, index) => data.subarray(places[index], end));
}

suite("FrameReader", () => {
  test("push() gives the messages whatever the chunks", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 })), fc.array(fc.nat()), (messages, cuts) => {
        const found: Buffer[] = [];
        const reader = new FrameReader((message) => found.push(Buffer.from(message)));
        for (const chunk of cutAt(Buffer.concat(messages.map(frameMessage)), cuts)) reader.push(chunk);
        assert.deepEqual(
          found,
          messages.map((message) => Buffer.from(message)),
        );
        assert.equal(reader.isPartial, false);
      }),
    );
  });

  test("push() refuses a message over the limit before it is there", () => {
    const reader = new FrameReader(() => assert.fail());
    assert.throws(() => reader.push(Buffer.from([0, 0x40, 0, 0, 0])), { code: "resource_exhausted" });
  });
});

suite("BytesMessageParser", () => {
  test("push() gives the bytes whatever the chunks", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), fc.array(fc.nat()), (parts, cuts) => {
        const framed = parts.flatMap((part) =>
          // An empty message has no field at all.
          part.length === 0 ? [frameMessage(part)] : [bytesMessagePrefix(part.length), Buffer.from(part)],
        );
        const found: Buffer[] = [];
        const parser = new BytesMessageParser((data) => found.push(Buffer.from(data)));
        for (const chunk of cutAt(Buffer.concat(framed), cuts)) parser.push(chunk);
        assert.deepEqual(Buffer.concat(found), Buffer.concat(parts));
      }),
    );
  });

  test("push() refuses another message type", () => {
    const parser = new BytesMessageParser(() => assert.fail());
    assert.throws(() => parser.push(frameMessage(Buffer.from([0x08, 1]))), { code: "invalid_argument" });
  });
});
