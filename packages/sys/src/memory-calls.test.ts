import assert from "node:assert/strict";
import { test } from "node:test";
import { limitAllocator, releaseFreedMemory } from "./index.ts";

const megabyte = 1 << 20;

test("limitAllocator() has large blocks go back to the kernel when they are freed", async () => {
  limitAllocator({ ownMappingBytes: megabyte / 4, pools: 2 });
  const before = process.memoryUsage.rss();
  let blocks: Buffer[] | undefined = Array.from({ length: 64 }, () => Buffer.alloc(megabyte, 1));
  assert.ok(process.memoryUsage.rss() - before > 60 * megabyte);
  blocks = undefined;
  while (process.memoryUsage().arrayBuffers > 8 * megabyte) {
    // Allocating makes the collector look.
    blocks = [Buffer.alloc(megabyte)];
    await new Promise((resolve) => setImmediate(resolve));
  }
  await releaseFreedMemory();
  assert.ok(process.memoryUsage.rss() - before < 40 * megabyte, `${blocks?.length} kept`);
});
