import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { MetadataDatabase } from "@buildkit-ts/metadata";
import { chainIds, type Descriptor, type DiffId, digestOf } from "@buildkit-ts/oci";
import { makeTestRoot } from "../testing/index.ts";
import type { CacheRecord } from "./cache-record.ts";
import { RecordRegistry } from "./record-registry.ts";
import { RecordTable } from "./record-table.ts";

const diffIdOf = (name: string): DiffId => digestOf(`diff ${name}`) as string as DiffId;
const blobOf = (name: string): Descriptor => ({ mediaType: "layer", digest: digestOf(name), size: 1 });

test("a layer is found by its ChainID in whatever order the layers got their DiffIDs", async () => {
  using root = makeTestRoot();
  const reporter = { report: (error: unknown): never => assert.fail(String(error)) };
  using database = MetadataDatabase.open(join(root.path, "state.db"), { reporter });
  const names = ["base", "middle", "top"];
  const [, middleId, topId] = chainIds(names.map(diffIdOf));
  assert.ok(middleId !== undefined && topId !== undefined);
  for (const order of [
    ["base", "middle", "top"],
    ["top", "middle", "base"],
    ["middle", "base", "top"],
  ]) {
    const registry = new RecordRegistry(new RecordTable(database));
    const layers = new Map<string, CacheRecord>();
    for (const name of names) {
      const parent = [...layers.values()].at(-1);
      layers.set(name, registry.add({ kind: "layer", parent }, { createdAt: 1, snapshot: name }));
    }
    for (const name of order) {
      const record = layers.get(name);
      assert.ok(record);
      registry.update(record, { diffId: diffIdOf(name), blobs: [blobOf(name)] });
    }
    assert.equal(registry.findLayer(middleId, blobOf("middle").digest), layers.get("middle"), order.join());
    assert.equal(registry.findLayer(topId, blobOf("top").digest), layers.get("top"), order.join());

    const [base, top] = [layers.get("base"), layers.get("top")];
    assert.ok(base && top);
    registry.update(base, { diffId: diffIdOf("other") });
    assert.equal(registry.findTree(topId), undefined, "it lies on something else now");
    assert.equal(top.chainId, chainIds(["other", "middle", "top"].map(diffIdOf)).at(-1));
    for (const name of names.toReversed()) registry.remove(layers.get(name) ?? top);
    assert.ok(base.isUnused);
  }
});
