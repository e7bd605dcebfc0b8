import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { rpcpb } from "@buildkit-ts/api";
import { clipStatus, clipText } from "./clip-status.ts";

test("clipText() keeps short texts as they are, and of long ones both ends", () => {
  assert.equal(clipText("short"), "short");
  const clipped = clipText(`begin${"x".repeat(1e6)}end`);
  assert.ok(clipped.length <= 32_000);
  assert.match(clipped, /^beginx+ … x+end$/);
});

test("clipStatus() leaves out the largest details, and only where they are too large", () => {
  const detail = (typeUrl: string, size: number): { typeUrl: string; value: Uint8Array } => ({
    typeUrl,
    value: new Uint8Array(size),
  });
  const details = [detail("a", 10), detail("b", 500_001), detail("c", 400_000), detail("d", 20)];
  const status = create(rpcpb.StatusSchema, { code: 2, message: "m".repeat(100_000), details });
  const clipped = clipStatus(status);
  assert.deepEqual(
    clipped.details.map(({ typeUrl }) => typeUrl),
    ["a", "c", "d"],
  );
  assert.ok(clipped.message.length <= 32_000);
  const small = create(rpcpb.StatusSchema, { code: 2, message: "m", details: [detail("a", 10)] });
  assert.deepEqual(clipStatus(small).details, small.details);
});
