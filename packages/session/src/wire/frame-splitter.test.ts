import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { type FrameParts, FrameSplitter } from "./frame-splitter.ts";

const taken = 3;
const endOfStream = 0x1;
const padded = 0x8;

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Uint8Array;
}

function encode({ type, flags, streamId, payload }: Frame): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** What is given to the reader, and what is passed on, of bytes that come in pieces of these lengths. */
function split(
  bytes: Buffer,
  lengths: readonly number[],
): { data: Buffer; passed: Buffer; frameBytes: number; paddingBytes: number } {
  const data: Buffer[] = [];
  const passed: Buffer[] = [];
  let [frameBytes, paddingBytes] = [0, 0];
  const takerOf: FrameParts["takerOf"] = (id, sizes) => {
    if (id !== taken) return undefined;
    frameBytes += sizes.frameBytes;
    paddingBytes += sizes.paddingBytes;
    return (piece) => {
      data.push(Buffer.from(piece));
      return undefined;
    };
  };
  const splitter = new FrameSplitter(
    { takerOf, pass: (piece) => void passed.push(Buffer.from(piece)) },
    { maxFrameBytes: 100 },
  );
  let at = 0;
  for (let index = 0; at < bytes.length; index += 1) {
    const end = at + (lengths[index % lengths.length] ?? 1);
    splitter.push(bytes.subarray(at, end));
    at = end;
  }
  return { data: Buffer.concat(data), passed: Buffer.concat(passed), frameBytes, paddingBytes };
}

suite("FrameSplitter", () => {
  const frame = fc.record({
    type: fc.integer({ min: 0, max: 4 }),
    flags: fc.constantFrom(0, endOfStream),
    streamId: fc.constantFrom(0, 1, taken),
    payload: fc.uint8Array({ maxLength: 40 }),
  });

  test("takes the data of chosen streams and leaves all else as it is, however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(frame), fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (frames, lengths) => {
        const isTaken = ({ type, streamId }: Frame): boolean => type === 0 && streamId === taken;
        const left = frames.flatMap((each) => {
          if (!isTaken(each)) return [encode(each)];
          return each.flags === endOfStream ? [encode({ ...each, payload: Buffer.alloc(0) })] : [];
        });
        const data = frames.filter(isTaken).map(({ payload }) => payload);
        const frameBytes = data.reduce((sum, { length }) => sum + length, 0);
        assert.deepEqual(split(Buffer.concat(frames.map(encode)), lengths), {
          data: Buffer.concat(data),
          passed: Buffer.concat(left),
          frameBytes,
          paddingBytes: 0,
        });
      }),
    );
  });

  test("leaves padding out of the data, and counts it", () => {
    const payload = Buffer.from([2, 0x61, 0x62, 0, 0]);
    const bytes = encode({ type: 0, flags: padded | endOfStream, streamId: taken, payload });
    for (let length = 1; length <= bytes.length; length += 1) {
      const { data, passed, frameBytes, paddingBytes } = split(bytes, [length]);
      assert.equal(data.toString(), "ab");
      assert.deepEqual([frameBytes, paddingBytes], [payload.length, 3]);
      assert.deepEqual(passed, encode({ type: 0, flags: endOfStream, streamId: taken, payload: Buffer.alloc(0) }));
    }
  });

  test("passes a client's preface and says which streams have had their last frame", () => {
    const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    const frames = [
      encode({ type: 1, flags: 0, streamId: 1, payload: Buffer.from("head") }),
      encode({ type: 1, flags: endOfStream, streamId: 5, payload: Buffer.from("head") }),
      encode({ type: 0, flags: endOfStream, streamId: 1, payload: Buffer.from("data") }),
      encode({ type: 3, flags: 0, streamId: 7, payload: Buffer.alloc(4) }),
      // The flag of a frame of settings says something else.
      encode({ type: 4, flags: endOfStream, streamId: 0, payload: Buffer.alloc(0) }),
    ];
    const bytes = Buffer.concat([preface, ...frames]);
    for (let length = 1; length <= bytes.length; length += 1) {
      const ended: number[] = [];
      const passed: Buffer[] = [];
      const splitter = new FrameSplitter(
        {
          takerOf: () => undefined,
          onLast: (id) => void ended.push(id),
          pass: (piece) => void passed.push(Buffer.from(piece)),
        },
        { maxFrameBytes: 100, prefaceBytes: preface.length },
      );
      for (let at = 0; at < bytes.length; at += length)
        assert.equal(splitter.push(bytes.subarray(at, at + length)), false);
      assert.deepEqual(ended, [5, 1, 7]);
      assert.deepEqual(Buffer.concat(passed), bytes);
    }
  });

  test("says whether a taker keeps what it was given", () => {
    const bytes = encode({ type: 0, flags: 0, streamId: taken, payload: Buffer.from("data") });
    for (const answer of ["keep", undefined] as const) {
      const splitter = new FrameSplitter(
        { takerOf: () => () => answer, pass: () => undefined },
        { maxFrameBytes: 100 },
      );
      assert.equal(splitter.push(bytes), answer === "keep");
    }
  });

  test("refuses taken frames that are too long or have more padding than bytes", () => {
    const long = encode({ type: 0, flags: 0, streamId: taken, payload: Buffer.alloc(101) });
    assert.throws(() => split(long, [1000]), /a frame of 101 bytes/);
    const hollow = encode({ type: 0, flags: padded, streamId: taken, payload: Buffer.from([9, 0]) });
    assert.throws(() => split(hollow, [1000]), /more padding than a frame has/);
  });
});
