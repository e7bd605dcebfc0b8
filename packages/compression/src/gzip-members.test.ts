import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { GzipMembers } from "./gzip-members.ts";

async function pack(members: readonly Uint8Array[]): Promise<{ readonly bytes: Buffer; readonly starts: number[] }> {
  const parts: Buffer[] = [];
  const starts: number[] = [];
  using packer = new GzipMembers(6, (chunk) => void parts.push(Buffer.from(chunk)));
  for (const member of members) {
    await packer.begin((offset) => void starts.push(offset));
    await packer.write(member.subarray(0, member.length / 3));
    await packer.write(member.subarray(member.length / 3));
  }
  await packer.finish();
  const bytes = Buffer.concat(parts);
  assert.equal(packer.writtenBytes, bytes.length);
  return { bytes, starts };
}

test("GzipMembers writes members that can be read alone and together", async () => {
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.integer({ min: 0, max: 3_000_000 }).map((size) => Buffer.alloc(size, "some content ")),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(content, { maxLength: 8 }), async (members) => {
      const { bytes, starts } = await pack(members);
      assert.equal(starts.length, members.length);
      for (const [index, member] of members.entries())
        assert.ok(gunzipSync(bytes.subarray(starts[index], starts[index + 1])).equals(member));
      if (members.length > 0) assert.ok(gunzipSync(bytes).equals(Buffer.concat(members)));
      assert.ok((await pack(members)).bytes.equals(bytes));
    }),
    { numRuns: 30 },
  );
});
