import assert from "node:assert/strict";
import { test } from "node:test";
import { StepLog, stepLogLimits } from "./step-log.ts";

function collect(): { readonly write: (data: Uint8Array) => void; readonly text: () => string } {
  let text = "";
  return { write: (data) => (text += Buffer.from(data).toString()), text: () => text };
}

test("StepLog.write() clips at the size, says so once and keeps the end for a failure", () => {
  const { write, text } = collect();
  const log = new StepLog(write, { limits: { maxBytes: 2048, maxBytesPerSecond: -1 } });
  log.write(Buffer.alloc(2000, "a"));
  log.write(Buffer.from(`${"b".repeat(100)}`));
  log.write(Buffer.from("end"));
  assert.equal(text(), `${"a".repeat(2000)}${"b".repeat(48)}\n[output clipped, log limit 2KiB reached]\n`);
  log.flush();
  assert.ok(text().endsWith(`${"b".repeat(100)}end`));
});

test("StepLog.write() goes on when a fast step becomes slow", () => {
  const { write, text } = collect();
  let now = 0;
  const log = new StepLog(write, { limits: { maxBytes: 1 << 20, maxBytesPerSecond: 1024 }, now: () => now });
  now = 500;
  log.write(Buffer.alloc(1024, "a"));
  log.write(Buffer.from("lost"));
  assert.ok(text().endsWith("\n[output clipped, log limit 1KiB/s reached]\n"));
  now = 5000;
  log.write(Buffer.from("back"));
  assert.ok(text().endsWith("back"));
});

test("stepLogLimits() takes numbers from the environment and ignores the rest", () => {
  assert.deepEqual(stepLogLimits({ BUILDKIT_STEP_LOG_MAX_SIZE: "-1", BUILDKIT_STEP_LOG_MAX_SPEED: "fast" }), {
    maxBytes: -1,
    maxBytesPerSecond: 204_800,
  });
});
