import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { digestOf } from "@buildkit-ts/oci";
import { KnownOps, parseOp } from "./known-ops.ts";

function mkfile(path: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const value = create(opspb.FileActionMkFileSchema, { path, data });
  const action = create(opspb.FileActionSchema, { action: { case: "mkfile", value } });
  const file = create(opspb.FileOpSchema, { actions: [action] });
  return toBinary(opspb.OpSchema, create(opspb.OpSchema, { op: { case: "file", value: file } }));
}

function dataOf(op: opspb.Op): string | undefined {
  const action = op.op.case === "file" ? op.op.value.actions[0]?.action : undefined;
  return action?.case === "mkfile" ? Buffer.from(action.value.data).toString() : undefined;
}

suite("KnownOps", () => {
  test("keeps an op that comes again, for all that have the same bytes", () => {
    const known = new KnownOps();
    const bytes = mkfile("/a", Buffer.from("text"));
    const first = known.parse(digestOf(bytes), bytes);
    const op = known.parse(digestOf(bytes), bytes);
    assert.notEqual(op, first);
    assert.equal(known.parse(digestOf(bytes), bytes.slice()), op);
    assert.equal(dataOf(op), "text");
  });

  test("does not refer to the bytes that it was given", () => {
    const known = new KnownOps();
    const bytes = mkfile("/a", Buffer.from("text"));
    known.parse(digestOf(bytes), bytes);
    const op = known.parse(digestOf(bytes), bytes);
    bytes.fill(0);
    assert.equal(dataOf(op), "text");
  });

  test("gives large ops, and more than it keeps, as any other", () => {
    const known = new KnownOps();
    const large = mkfile("/large", Buffer.alloc(1 << 20, "x"));
    assert.equal(dataOf(known.parse(digestOf(large), large))?.length, 1 << 20);
    assert.notEqual(known.parse(digestOf(large), large), known.parse(digestOf(large), large));
    const some = Array.from({ length: 300 }, (_, i) => mkfile(`/${i}`, Buffer.alloc(10_000, `${i % 10}`)));
    for (const bytes of some) assert.equal(dataOf(known.parse(digestOf(bytes), bytes))?.length, 10_000);
    for (const bytes of some) assert.equal(dataOf(known.parse(digestOf(bytes), bytes)), dataOf(parseOp(bytes)));
  });

  test("keeps no op that is larger in memory than it looks", () => {
    const known = new KnownOps();
    const actions = Array.from({ length: 8000 }, () => create(opspb.FileActionSchema));
    const file = create(opspb.FileOpSchema, { actions });
    const bytes = toBinary(opspb.OpSchema, create(opspb.OpSchema, { op: { case: "file", value: file } }));
    known.parse(digestOf(bytes), bytes);
    assert.notEqual(known.parse(digestOf(bytes), bytes), known.parse(digestOf(bytes), bytes));
  });

  test("refuses what is no op, also when it comes again", () => {
    const known = new KnownOps();
    const bytes = Uint8Array.of(0xff, 0xff, 0xff);
    for (let i = 0; i < 2; i++) {
      assert.throws(() => known.parse(digestOf(bytes), bytes), { code: "invalid_argument" });
    }
  });
});
