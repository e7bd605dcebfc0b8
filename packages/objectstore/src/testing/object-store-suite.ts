import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import { type ContentProvider, MemoryContentStore } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, digestOf } from "@buildkit-ts/oci";
import type { ObjectStore } from "../object-store.ts";

const { signal } = new AbortController();

/** A place for the suite: each call opens the same place anew, as another daemon would. */
export type OpenPlace = () => ObjectStore;

/** The contract of {@linkcode ObjectStore} as tests; `place` gives a fresh, empty place. */
export function objectStoreSuite(name: string, place: () => Promise<OpenPlace>): void {
  suite(`${name} as an ObjectStore`, () => {
    test("writeBlob() makes the bytes readable elsewhere, from any offset", async () => {
      const open = await place();
      // More than one part, and no whole number of them.
      const blob = await makeBlob(randomBytes((11 << 20) + 5));
      assert.equal(await open().hasBlob(blob.descriptor, { signal }), false);
      await open().writeBlob(blob.descriptor, blob.provider, { signal });
      const other = open();
      assert.equal(await other.hasBlob(blob.descriptor, { signal }), true);
      for (const offset of [0, 1, (11 << 20) + 4, (11 << 20) + 5])
        assert.deepEqual(await read(other, blob.descriptor, offset), blob.bytes.subarray(offset));
    });

    test("writeBlob() takes an empty blob, and one that is there already", async () => {
      const open = await place();
      for (const bytes of [Buffer.alloc(0), Buffer.from("bytes")]) {
        const { descriptor, provider } = await makeBlob(bytes);
        await Promise.all([1, 2].map(async () => await open().writeBlob(descriptor, provider, { signal })));
        await open().writeBlob(descriptor, provider, { signal });
        assert.equal(await open().hasBlob(descriptor, { signal }), true);
        assert.deepEqual(await read(open(), descriptor), bytes);
      }
    });

    test("writeBlob() stores nothing when the bytes cannot be read to their end", async () => {
      const open = await place();
      const failing: ContentProvider = {
        open: async () => {
          await Promise.resolve();
          return (async function* () {
            yield await Promise.resolve(randomBytes(50_000));
            throw new BuildError("data_loss", "the disk is gone");
          })();
        },
      };
      const other = await makeBlob(randomBytes(10));
      const short = { open: async () => await other.provider.open(other.descriptor, { signal }) };
      for (const from of [failing, short]) {
        const { descriptor } = await makeBlob(randomBytes(100_000));
        await assert.rejects(open().writeBlob(descriptor, from, { signal }), { code: "data_loss" });
        assert.equal(await open().hasBlob(descriptor, { signal }), false);
      }
    });

    test("open() says not_found for what is not there", async () => {
      const open = await place();
      const { descriptor } = await makeBlob(randomBytes(10));
      await assert.rejects(read(open(), descriptor), { code: "not_found" });
    });

    test("readIndexes() gives what was written last, nothing before", async () => {
      const open = await place();
      assert.deepEqual(await open().readIndexes({ signal }), []);
      for (const text of ["one", "two", "three"]) {
        await open().writeIndex(Buffer.from(text), { signal });
        assert.deepEqual((await open().readIndexes({ signal })).map(String), [text]);
      }
    });

    test("everything ends with its signal, whose reason it gives", async () => {
      const open = await place();
      const { descriptor, provider } = await makeBlob(randomBytes(10));
      const gone = new BuildError("canceled", "nobody waits");
      const options = { signal: AbortSignal.abort(gone) };
      const store = open();
      const calls = [
        async () => await store.hasBlob(descriptor, options),
        async () => await store.writeBlob(descriptor, provider, options),
        async () => await store.open(descriptor, options),
        async () => await store.readIndexes(options),
        async () => await store.writeIndex(Buffer.from("index"), options),
      ];
      for (const call of calls) await assert.rejects(call(), gone);
    });
  });
}

/** A blob, and a store that has it. */
export async function makeBlob(
  bytes: Buffer,
): Promise<{ readonly descriptor: Descriptor; readonly bytes: Buffer; readonly provider: ContentProvider }> {
  const provider = new MemoryContentStore();
  await using writer = await provider.openWriter({ signal });
  await writer.write(bytes);
  const { size } = await writer.commit({});
  return { descriptor: { mediaType: "application/octet-stream", digest: digestOf(bytes), size }, bytes, provider };
}

/** A blob's bytes from an offset on. */
export async function read(store: ContentProvider, descriptor: Descriptor, offset = 0): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(await store.open(descriptor, { signal, offset })));
}
