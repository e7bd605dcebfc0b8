import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, digestOf } from "@buildkit-ts/oci";
import { copyBlob, MemoryContentStore, readBlob } from "../index.ts";
import { contentStoreSuite } from "../testing/index.ts";
import { LocalContentStore } from "./local-content-store.ts";

const { signal } = new AbortController();
const directory = mkdtempSync(join(tmpdir(), "content-"));
after(() => rmSync(directory, { recursive: true, force: true }));
let count = 0;
const freshRoot = (): string => join(directory, String((count += 1)));

contentStoreSuite("LocalContentStore", async () => await LocalContentStore.open(freshRoot()));

test("open() keeps blobs and removes what was half-written", async () => {
  const root = freshRoot();
  const store = await LocalContentStore.open(root);
  const writer = await store.openWriter({ signal });
  await writer.write(Buffer.from("half"));
  const path = store.createIngestPath();
  writeFileSync(path, "whole");
  await store.adopt(path, { digest: digestOf("whole"), size: 5 });
  writeFileSync(store.createIngestPath(), "left");

  const again = await LocalContentStore.open(root);
  assert.deepEqual(readdirSync(join(root, "content", "ingest")), []);
  assert.equal((await again.find(digestOf("whole")))?.size, 5);
  await writer[Symbol.asyncDispose]();
});

test("adopt() takes only whole files of the ingest directory", async () => {
  const store = await LocalContentStore.open(freshRoot());
  const path = store.createIngestPath();
  writeFileSync(path, "short");
  await assert.rejects(store.adopt(path, { digest: digestOf("short"), size: 6 }), { code: "data_loss" });
  await assert.rejects(store.adopt("/etc/hostname", { digest: digestOf("x"), size: 1 }), { code: "invalid_argument" });
});

test("pathOf() lets no digest name a file elsewhere", async () => {
  const store = await LocalContentStore.open(freshRoot());
  for (const digest of ["sha256:../../../etc/passwd", "md5:x", "sha256:"])
    assert.throws(() => store.pathOf(digest as Digest), { code: "invalid_argument" });
});

test("copyBlob() and readBlob() verify what they are given", async () => {
  const from = new MemoryContentStore();
  await using writer = await from.openWriter({ signal });
  await writer.write(Buffer.from("manifest"));
  const { digest, size } = await writer.commit({});
  const store = await LocalContentStore.open(freshRoot());
  const descriptor = { mediaType: "application/octet-stream", digest, size };
  await assert.rejects(copyBlob(from, store, { signal, descriptor: { ...descriptor, size: 9 } }), {
    code: "data_loss",
  });
  const progress: number[] = [];
  await copyBlob(from, store, { signal, descriptor, onProgress: (bytes) => progress.push(bytes) });
  assert.deepEqual(progress, [8]);
  assert.equal((await readBlob(store, descriptor, { signal })).toString(), "manifest");
  await assert.rejects(readBlob(store, { ...descriptor, size: 7 }, { signal }), { code: "data_loss" });
  await assert.rejects(readBlob(store, descriptor, { signal, maxBytes: 7 }), { code: "resource_exhausted" });
});

test("findIntact() removes a blob that was damaged from outside, and says so", async () => {
  const reported: unknown[] = [];
  const root = freshRoot();
  const store = await LocalContentStore.open(root, { reporter: { report: (error) => reported.push(error) } });
  const damages: readonly ((path: string) => void)[] = [
    (path) => truncateSync(path, 3),
    (path) => writeFileSync(path, "HOLE."),
    (path) => appendFileSync(path, "more"),
  ];
  for (const damage of damages) {
    const path = store.createIngestPath();
    writeFileSync(path, "whole");
    const { digest } = await store.adopt(path, { digest: digestOf("whole"), size: 5 });
    assert.equal((await store.findIntact(digest))?.size, 5);
    damage(store.pathOf(digest));
    assert.equal(await store.findIntact(digest), undefined);
    assert.equal(await store.find(digest), undefined);
  }
  assert.equal(reported.length, damages.length);
  assert.ok(reported.every((error) => error instanceof BuildError && error.code === "data_loss"));
});

test("findIntact() hashes what an earlier process has written", async () => {
  const root = freshRoot();
  const first = await LocalContentStore.open(root);
  const path = first.createIngestPath();
  writeFileSync(path, "whole");
  const { digest } = await first.adopt(path, { digest: digestOf("whole"), size: 5 });
  const times = statSync(first.pathOf(digest));
  writeFileSync(first.pathOf(digest), "HOLE.");
  utimesSync(first.pathOf(digest), times.atime, times.mtime);
  const second = await LocalContentStore.open(root);
  assert.equal(await second.findIntact(digest), undefined);
});
