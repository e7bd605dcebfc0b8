import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { RemoteLayer } from "@buildkit-ts/cache";
import { LocalContentStore } from "@buildkit-ts/content";
import { WorkerLayerCodec } from "@buildkit-ts/layers";
import { type DiffId, digestOf, hostPlatform, mediaTypes } from "@buildkit-ts/oci";
import { noProgress } from "@buildkit-ts/progress";
import { decodeTar, encodeTar } from "@buildkit-ts/tar";
import { LayerRewriter } from "./layer-rewriter.ts";
import { writeBlob } from "./write-blob.ts";

test("layers above the base get no time later than the epoch, and say so", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rewrite-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const content = await LocalContentStore.open(folder);
  await using codec = new WorkerLayerCodec();
  const { signal } = t;
  const layerOf = async (name: string): Promise<RemoteLayer> => {
    const file = { type: "file", mode: 0o644, uid: 0, gid: 0, size: 0, mtimeSeconds: 2000 } as const;
    const entries = [
      { header: { ...file, name: `${name}-new` }, content: [] },
      { header: { ...file, name: `${name}-old`, mtimeSeconds: 500 }, content: [] },
    ];
    const bytes = Buffer.concat(await Array.fromAsync(encodeTar(entries, { signal })));
    const descriptor = await writeBlob(content, { mediaType: mediaTypes.ociLayer, bytes }, { signal });
    return { descriptor, diffId: digestOf(bytes) as DiffId, createdAt: 0, description: name };
  };
  const base = await layerOf("base");
  const own = await layerOf("own");
  const pinned: string[] = [];
  const request = {
    epochSeconds: 1000,
    compression: { type: "uncompressed", ociMediaTypes: true } as const,
    baseLayers: [base.diffId],
    pin: async (digest: string) => void pinned.push(digest),
  };
  const context = {
    signal,
    progress: noProgress,
    session: "",
    exporterIndex: 0,
    compatibilityVersion: 30,
    platform: hostPlatform(),
    sessions: () => [],
  };
  const remote = await new LayerRewriter({ content, codec }).rewrite(
    { layers: [base, own], provider: content },
    request,
    context,
  );
  const [first, second] = remote.layers;
  assert.equal(first, base);
  assert.ok(second);
  assert.deepEqual(second.descriptor.annotations, { "buildkit/rewritten-timestamp": "1000" });
  assert.deepEqual(pinned, [second.descriptor.digest]);
  assert.equal(second.diffId, second.descriptor.digest);
  const times = [];
  for await (const { header } of decodeTar(await remote.provider.open(second.descriptor, { signal }), { signal }))
    times.push([header.name, header.mtimeSeconds]);
  assert.deepEqual(times, [
    ["own-new", 1000],
    ["own-old", 500],
  ]);
});
