import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Digest } from "@buildkit-ts/oci";
import { digestOf } from "@buildkit-ts/oci";
import { contentOutput, type ExportOptions, exportChains, type FoundRecord, rootKey } from "@buildkit-ts/solver";
import { type FakeVertex, SolverFixture } from "@buildkit-ts/solver/testing";
import {
  CacheChains,
  type ChainRecord,
  ConfigCacheStore,
  encodeCacheConfig,
  parseCacheConfig,
  type Remote,
} from "./index.ts";

const signal = new AbortController().signal;

interface Graph {
  readonly image: FakeVertex;
  readonly local: FakeVertex;
  readonly step: FakeVertex;
  readonly copy: FakeVertex;
  readonly last: FakeVertex;
}

/** A base image with two keys, a context that is known by its content only, and steps upon them. */
function graphOf(f: SolverFixture, run: string, cacheSources: readonly ConfigCacheStore[] = []): Graph {
  const image = f.vertex("image", { cacheKey: ["manifest", "config"], cacheSources });
  const local = f.vertex(`local ${run}`, { rawDigest: `random:${run}` as Digest, value: () => "files", cacheSources });
  const step = f.vertex("step", { inputs: [image.edge()], cacheSources });
  const copy = f.vertex("copy", { inputs: [step.edge(), local.edge()], content: [1], selectors: ["s"], cacheSources });
  return { image, local, step, copy, last: f.vertex("last", { inputs: [copy.edge()], cacheSources }) };
}

class Exporter {
  readonly blobs = new Map<Digest, string>();
  readonly created: string[] = [];

  async export(
    f: SolverFixture,
    graph: Graph,
    options: Partial<ExportOptions<ChainRecord, Remote>>,
  ): Promise<Uint8Array> {
    await using job = f.job();
    await using result = await job.build(graph.last.edge(), { signal });
    const chains = new CacheChains();
    await exportChains(result.keys, {
      target: chains,
      mode: "max",
      signal,
      resolve: (found, { create }) => Promise.resolve(create ? this.#remote(found) : undefined),
      ...options,
    });
    return encodeCacheConfig(chains.toConfig().config);
  }

  #remote({ record }: FoundRecord): Remote {
    this.created.push(record.id);
    const digest = digestOf(`blob ${record.id}`);
    this.blobs.set(digest, record.id);
    return { descriptors: [{ mediaType: "", digest, size: 1 }] };
  }
}

suite("an exported cache", () => {
  test("names records by BuildKit's keys, and no random ones", async () => {
    const f = new SolverFixture();
    const config = parseCacheConfig(await new Exporter().export(f, graphOf(f, "1"), {}));
    const expected = [
      rootKey(digestOf("manifest"), 0),
      rootKey(digestOf("config"), 0),
      rootKey(digestOf("content files"), contentOutput),
      ...["step", "copy", "last"].map((name) => rootKey(digestOf(name), 0)),
    ];
    assert.deepEqual(config.records.map((record) => record.digest).toSorted(), expected.toSorted());
    assert.equal(config.layers.length, 3);
    const copy = config.records.find((record) => record.digest === rootKey(digestOf("copy"), 0));
    assert.deepEqual(
      copy?.inputs.map((links) => links.map(({ selector }) => selector)),
      [[digestOf("s")], [""]],
    );
  });

  test("is the same when it is exported from a cached build", async () => {
    const f = new SolverFixture();
    const exporter = new Exporter();
    const first = await exporter.export(f, graphOf(f, "1"), {});
    const second = await exporter.export(f, graphOf(f, "2"), {});
    assert.equal(Buffer.from(second).toString(), Buffer.from(first).toString());
  });

  test("makes blobs for the last step only in mode min", async () => {
    const f = new SolverFixture();
    const exporter = new Exporter();
    const config = parseCacheConfig(await exporter.export(f, graphOf(f, "1"), { mode: "min" }));
    assert.equal(exporter.created.length, 1);
    assert.equal(config.records.length, 6);
    assert.equal(config.layers.length, 1);
  });

  test("gives another daemon all results without executing anything but what must be read", async () => {
    const f = new SolverFixture();
    const exporter = new Exporter();
    const config = parseCacheConfig(await exporter.export(f, graphOf(f, "1"), {}));
    const other = new SolverFixture();
    const loads: Digest[] = [];
    const store = new ConfigCacheStore("remote", config, {
      load: (layers) => {
        loads.push(...layers);
        return Promise.resolve(other.results.create("imported"));
      },
      exists: () => Promise.resolve(true),
    });
    const graph = graphOf(other, "2", [store]);
    assert.equal(await other.build(graph.last.edge()), "imported");
    assert.deepEqual(
      [graph.image, graph.local, graph.step, graph.copy, graph.last].map((vertex) => vertex.execs),
      [0, 1, 0, 0, 0],
    );
    assert.equal(loads.length, 1);
    const again = graphOf(other, "3");
    await other.build(again.last.edge());
    assert.deepEqual(
      [again.image, again.local, again.step, again.copy, again.last].map((vertex) => vertex.execs),
      [0, 1, 0, 0, 0],
    );
    assert.deepEqual(other.reports, []);
  });
});
