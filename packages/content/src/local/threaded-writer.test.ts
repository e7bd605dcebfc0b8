import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { digestOf } from "@buildkit-ts/oci";
import { copyBlob, LocalContentStore, MemoryContentStore, readBlob } from "../index.ts";
import { contentStoreSuite } from "../testing/index.ts";
import { ThreadedWriter } from "./threaded-writer.ts";

const { signal } = new AbortController();
const directory = mkdtempSync(join(tmpdir(), "threaded-writer-"));
after(() => rmSync(directory, { recursive: true, force: true }));
let count = 0;
const freshRoot = (): string => join(directory, String((count += 1)));

contentStoreSuite("LocalContentStore with threaded writers", async () => {
  const store = await LocalContentStore.open(freshRoot());
  const openWriter = store.openWriter.bind(store);
  // Chunks that are taken are copied first, as the contract lets callers use theirs again.
  store.openWriter = async (options) => {
    const writer = await openWriter({ ...options, takesChunks: true });
    const write = writer.write.bind(writer);
    return Object.assign(writer, { write: async (chunk: Uint8Array) => await write(Uint8Array.from(chunk)) });
  };
  return store;
});

test("copyBlob() moves a large blob's chunks to the thread, and leaves those of its source alone", async () => {
  const root = freshRoot();
  const store = await LocalContentStore.open(root);
  const from = new MemoryContentStore();
  const bytes = randomBytes(9 << 20);
  await using writer = await from.openWriter({ signal });
  await writer.write(bytes);
  const { digest, size } = await writer.commit({});
  const descriptor = { mediaType: "application/octet-stream", digest, size };
  let arrived = 0;
  await copyBlob(from, store, { signal, descriptor, onProgress: (count) => void (arrived = count) });
  assert.equal(arrived, size);
  const options = { signal, maxBytes: size };
  assert.ok((await readBlob(store, descriptor, options)).equals(bytes));
  assert.ok((await readBlob(from, descriptor, options)).equals(bytes));
  await assert.rejects(copyBlob(damaged(from), await LocalContentStore.open(freshRoot()), { signal, descriptor }), {
    code: "data_loss",
  });
  assert.deepEqual(readdirSync(join(root, "content", "ingest")), []);
});

test("a ThreadedWriter moves chunks that fill their buffers, once, and copies all others", async () => {
  const path = join(directory, "moved");
  await using writer = new ThreadedWriter(path, { signal, commit: async (_path, blob) => ({ ...blob, createdAt: 0 }) });
  const whole = new Uint8Array(300_000).fill(1);
  const part = new Uint8Array(300_000).fill(2).subarray(0, 299_999);
  await writer.write(whole);
  await writer.write(part);
  assert.equal(whole.byteLength, 0);
  assert.equal(part.byteLength, 299_999);
  const expected = Buffer.concat([Buffer.alloc(300_000, 1), part]);
  assert.equal((await writer.commit({})).digest, digestOf(expected));
});

test("a ThreadedWriter tells of a file that cannot be written, and leaves none", async () => {
  const path = join(directory, "missing", "file");
  const writer = new ThreadedWriter(path, { signal, commit: async (_path, blob) => ({ ...blob, createdAt: 0 }) });
  await writer.write(new Uint8Array(300_000));
  await assert.rejects(writer.commit({}), { code: "ENOENT" });
  await writer[Symbol.asyncDispose]();
  assert.ok(!existsSync(path));
});

function damaged(store: MemoryContentStore): Pick<MemoryContentStore, "open"> {
  return {
    open: async (descriptor, options) =>
      (async function* () {
        for await (const chunk of await store.open(descriptor, options)) yield chunk.fill(0, 0, 1);
      })(),
  };
}
