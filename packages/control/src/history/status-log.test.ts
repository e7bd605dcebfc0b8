import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { zstdCompressSync } from "node:zlib";
import { create } from "@bufbuild/protobuf";
import { controlpb } from "@buildkit-ts/api";
import { digestOf } from "@buildkit-ts/oci";
import { packLog, StatusLog, statusMessages, unpackLog } from "./status-log.ts";

function logOf(steps: number): Uint8Array {
  const log = new StatusLog();
  for (let i = 0; i < steps; i++) {
    log.add(
      create(controlpb.StatusResponseSchema, { vertexes: [{ digest: digestOf(`${i}`), name: `[${i}] RUN true` }] }),
    );
  }
  return log.bytes();
}

suite("a stored log", () => {
  for (const steps of [0, 1, 5000]) {
    test(`of ${steps} steps is the one that was stored`, async () => {
      const log = logOf(steps);
      const unpacked = await unpackLog(await packLog(log));
      assert.ok(Buffer.from(log).equals(unpacked));
      assert.equal([...statusMessages(unpacked)].length, steps);
    });
  }

  test("is smaller where it is large", async () => {
    const log = logOf(5000);
    assert.ok((await packLog(log)).length < log.length * 0.7);
  });

  test("that is damaged is refused", async () => {
    const packed = await packLog(logOf(5000));
    await assert.rejects(unpackLog(packed.subarray(0, packed.length / 2)), { code: "data_loss" });
    const bomb = zstdCompressSync(Buffer.alloc(600 << 20));
    await assert.rejects(unpackLog(bomb), { code: "data_loss" });
  });

  test("of an earlier version, which compressed none, is read", async () => {
    const log = logOf(5000);
    assert.equal(await unpackLog(log), log);
  });
});
