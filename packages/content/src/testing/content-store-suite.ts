import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import { type Descriptor, type Digest, digestOf } from "@buildkit-ts/oci";
import type { BlobInfo, ContentStore } from "../content-store.ts";

const { signal } = new AbortController();

/** The contract of {@linkcode ContentStore} as tests; `open` gives a fresh, empty store. */
export function contentStoreSuite(name: string, open: () => Promise<ContentStore>): void {
  suite(`${name} as a ContentStore`, () => {
    writingTests(open);
    lookupTests(open);
  });
}

function writingTests(open: () => Promise<ContentStore>): void {
  test("commit() makes the bytes readable, from any offset", async () => {
    const store = await open();
    const bytes = randomBytes(700_000);
    const info = await put(store, bytes);
    assert.deepEqual({ digest: info.digest, size: info.size }, { digest: digestOf(bytes), size: bytes.byteLength });
    assert.deepEqual(await read(store, info), bytes);
    assert.deepEqual(await read(store, info, 699_999), bytes.subarray(699_999));
    assert.deepEqual(await read(store, info, 700_000), Buffer.alloc(0));
    assert.deepEqual(await digests(store), [info.digest]);
    const found = await store.find(info.digest);
    assert.equal(found?.size, bytes.byteLength);
    assert.deepEqual(await store.findIntact(info.digest), found);
    assert.equal(await store.findIntact(digestOf("nothing")), undefined);
    assert.ok(Math.abs(found.createdAt - Date.now()) < 60_000);
  });

  test("commit() accepts an empty blob and one that is there already", async () => {
    const store = await open();
    const first = await put(store, Buffer.alloc(0));
    const second = await put(store, Buffer.alloc(0));
    assert.equal(first.digest, second.digest);
    assert.deepEqual(await digests(store), [first.digest]);
    assert.deepEqual(await read(store, first), Buffer.alloc(0));
  });

  test("commit() rejects bytes that are not the expected ones, and keeps nothing", async () => {
    const store = await open();
    for (const expected of [{ digest: digestOf("other") }, { size: 3 }]) {
      await using writer = await store.openWriter({ signal });
      await writer.write(Buffer.from("bytes"));
      await assert.rejects(writer.commit(expected), { code: "data_loss" });
    }
    assert.deepEqual(await digests(store), []);
  });

  test("a writer that is disposed without commit leaves nothing, and cannot be used", async () => {
    const store = await open();
    const writer = await store.openWriter({ signal });
    await writer.write(Buffer.from("bytes"));
    await writer[Symbol.asyncDispose]();
    await writer[Symbol.asyncDispose]();
    await assert.rejects(writer.write(Buffer.from("more")), { code: "failed_precondition" });
    assert.deepEqual(await digests(store), []);
  });

  test("write() leaves the chunk to its caller afterwards", async () => {
    const store = await open();
    await using writer = await store.openWriter({ signal });
    const chunk = Buffer.from("aaaa");
    await writer.write(chunk);
    chunk.fill("b");
    await writer.write(chunk);
    const info = await writer.commit({ digest: digestOf("aaaabbbb"), size: 8 });
    assert.equal((await read(store, info)).toString(), "aaaabbbb");
  });
}

function lookupTests(open: () => Promise<ContentStore>): void {
  test("delete() is idempotent, and an opened blob that is missing is not_found", async () => {
    const store = await open();
    const info = await put(store, Buffer.from("gone"));
    await store.delete(info.digest);
    await store.delete(info.digest);
    assert.equal(await store.find(info.digest), undefined);
    await assert.rejects(store.open(describe(info), { signal }), { code: "not_found" });
  });

  test("every call ends with the reason of its signal", async () => {
    const store = await open();
    const info = await put(store, Buffer.from("x"));
    const reason = new Error("stop");
    const aborted = AbortSignal.abort(reason);
    await assert.rejects(store.openWriter({ signal: aborted }), reason);
    await assert.rejects(store.open(describe(info), { signal: aborted }), reason);
  });

  test("writers of one digest may race", async () => {
    const store = await open();
    const bytes = randomBytes(100_000);
    const infos = await Promise.all(Array.from({ length: 8 }, async () => await put(store, bytes)));
    assert.equal(new Set(infos.map(({ digest }) => digest)).size, 1);
    assert.deepEqual(await read(store, { digest: digestOf(bytes), size: 100_000, createdAt: 0 }), bytes);
  });
}

function describe(info: BlobInfo): Descriptor {
  return { mediaType: "application/octet-stream", digest: info.digest, size: info.size };
}

async function put(store: ContentStore, bytes: Uint8Array): Promise<BlobInfo> {
  await using writer = await store.openWriter({ signal });
  const middle = bytes.byteLength >> 1;
  await writer.write(bytes.subarray(0, middle));
  await writer.write(bytes.subarray(middle));
  return await writer.commit({ digest: digestOf(bytes), size: bytes.byteLength });
}

async function read(store: ContentStore, info: BlobInfo, offset?: number): Promise<Buffer> {
  const stream = await store.open(describe(info), { signal, ...(offset !== undefined && { offset }) });
  return Buffer.concat(await Array.fromAsync(stream));
}

async function digests(store: ContentStore): Promise<Digest[]> {
  return (await Array.fromAsync(store.walk())).map(({ digest }) => digest);
}
