import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { rechunk } from "./rechunk.ts";

test("rechunk() keeps the bytes and gives no chunk over 1 MiB", async () => {
  const sizes = fc.array(
    fc.oneof(fc.nat(600), fc.integer({ min: 65_000, max: 66_000 }), fc.integer({ min: 1 << 20, max: 3 << 20 })),
    {
      maxLength: 12,
    },
  );
  await fc.assert(
    fc.asyncProperty(sizes, async (lengths) => {
      const chunks = lengths.map((length, index) => Buffer.alloc(length, index + 1));
      const out: Uint8Array[] = [];
      for await (const chunk of rechunk(chunks as unknown as AsyncIterable<Uint8Array>)) out.push(chunk);
      assert.ok(Buffer.concat(out).equals(Buffer.concat(chunks)));
      assert.ok(out.every((chunk) => chunk.length > 0 && chunk.length <= 1 << 20));
    }),
    { numRuns: 40 },
  );
});
