import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { suite, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { controlpb } from "@buildkit-ts/api";
import { type ContentStore, MemoryContentStore } from "@buildkit-ts/content";
import { BuildHistory } from "./build-history.ts";
import { HistoryBlobs } from "./history-blobs.ts";

/** A store that begins to write only when it is let, and pins that delete what they give up. */
function slowBlobs(): { blobs: HistoryBlobs; content: MemoryContentStore; reached: Promise<void>; go: () => void } {
  const content = new MemoryContentStore();
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const slow = Object.create(content, {
    openWriter: {
      value: async (...args: Parameters<ContentStore["openWriter"]>) => {
        reached.resolve();
        await released.promise;
        return await content.openWriter(...args);
      },
    },
    findIntact: { value: content.findIntact.bind(content) },
  }) as ContentStore;
  const pinned = new Map<string, Parameters<ContentStore["delete"]>[0][]>();
  const pins = {
    pinBlobs: async (owner: string, digests: Parameters<ContentStore["delete"]>[0][]) =>
      await Promise.resolve(void pinned.set(owner, [...digests])),
    unpinBlobs: async (owner: string) => {
      for (const digest of pinned.get(owner) ?? []) await content.delete(digest);
    },
  };
  const blobs = new HistoryBlobs({
    content: slow,
    pins: pins as ConstructorParameters<typeof HistoryBlobs>[0]["pins"],
  });
  return { blobs, content, reached: reached.promise, go: () => released.resolve() };
}

suite("BuildHistory", () => {
  test("deletes a record with the trace that is being added to it, before it says so", async () => {
    const { blobs, content, reached, go } = slowBlobs();
    using database = new DatabaseSync(":memory:");
    const history = new BuildHistory({ database, blobs, errors: { report: assert.fail } });
    history.complete(create(controlpb.BuildHistoryRecordSchema, { Ref: "it" }), new Uint8Array());
    const adding = history.addTrace("it", Buffer.from("spans"));
    await reached;
    let isDeleted = false;
    const deleting = history.delete("it").then(() => void (isDeleted = true));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isDeleted, false, "its trace will be there");
    go();
    await deleting;
    assert.deepEqual(await Array.fromAsync(content.walk()), []);
    await adding;
    assert.deepEqual(await Array.fromAsync(content.walk()), []);
  });

  test("has the record on the disk at once, and shows it when its documents are there", async () => {
    const { blobs, content, reached, go } = slowBlobs();
    using database = new DatabaseSync(":memory:");
    const history = new BuildHistory({ database, blobs, errors: { report: assert.fail } });
    const record = create(controlpb.BuildHistoryRecordSchema, { Ref: "it" });
    const document = {
      platform: undefined,
      mediaType: "text/plain",
      bytes: Buffer.from("how"),
      annotations: { a: "b" },
    };
    history.start(record);
    history.complete(record, Buffer.from("log"), [document]);
    assert.equal(database.prepare("SELECT count(*) AS n FROM build_history").get()?.["n"], 1);
    await reached;
    const request = create(controlpb.BuildHistoryRequestSchema, { EarlyExit: true, Ref: "it" });
    const options = { signal: new AbortController().signal, now: 0 };
    const asked = [
      Array.fromAsync(history.listen(request, options)).then(([event]) => event?.record?.Result?.Attestations.length),
      history.findLog("it").then((log) => Buffer.from(log ?? []).toString()),
      history.update("it", { pinned: true }).then(() => "pinned"),
    ];
    assert.equal(await Promise.race([...asked, new Promise((resolve) => setImmediate(resolve))]), undefined);
    go();
    assert.deepEqual(await Promise.all(asked), [1, "log", "pinned"]);
    assert.equal((await Array.fromAsync(content.walk())).length, 1);
    await history.delete("it");
    assert.deepEqual(await Array.fromAsync(content.walk()), []);
  });

  test("shows a record whose documents cannot be stored", async () => {
    using database = new DatabaseSync(":memory:");
    const reports: string[] = [];
    const errors = { report: (error: unknown) => void reports.push(String(error)) };
    const blobs = { add: async () => await Promise.reject(new Error("no space")) } as unknown as HistoryBlobs;
    const history = new BuildHistory({ database, blobs, errors });
    const record = create(controlpb.BuildHistoryRecordSchema, { Ref: "it" });
    history.start(record);
    history.complete(record, new Uint8Array(), [
      { platform: undefined, mediaType: "text/plain", bytes: Buffer.from("how"), annotations: {} },
    ]);
    assert.equal((await history.findLog("it"))?.length, 0);
    assert.deepEqual(reports, ["Error: no space"]);
  });
});
