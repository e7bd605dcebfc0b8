import assert from "node:assert/strict";
import { test } from "node:test";
import { limitAllocator, releaseFreedMemory } from "./index.ts";

const megabyte = 1 << 20;
const blockBytes = 100_000;

test("releaseFreedMemory() gives freed memory back to the kernel, from between blocks in use too", async () => {
  limitAllocator({ ownMappingBytes: megabyte / 4, pools: 2 });
  const blocks = Array.from({ length: 640 }, () => Buffer.alloc(blockBytes, 1));
  const last = blocks.at(-1);
  // The peak is the measure: what was resident before may have shrunk beside the blocks.
  const peak = process.memoryUsage.rss();
  blocks.length = 0;
  while (process.memoryUsage().arrayBuffers > 8 * megabyte) {
    // Allocating makes the collector look.
    Buffer.alloc(megabyte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await releaseFreedMemory();
  const released = peak - process.memoryUsage.rss();
  assert.ok(released > 32 * megabyte, `${released} bytes released`);
  assert.equal(last?.length, blockBytes);
});
