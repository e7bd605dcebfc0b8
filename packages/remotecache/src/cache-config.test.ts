import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { digestOf } from "@buildkit-ts/oci";
import { noProgress } from "@buildkit-ts/progress";
import { contentOutput, type OpContext, rootKey, SolverKey } from "@buildkit-ts/solver";
import { FakeResults } from "@buildkit-ts/solver/testing";
import * as fc from "fast-check";
import {
  CacheChains,
  type ChainRecord,
  ConfigCacheStore,
  encodeCacheConfig,
  normalizeConfig,
  parseCacheConfig,
} from "./index.ts";

const d = digestOf;
const goldens = ["link-add", "mounts", "run-copy"].map((name) =>
  readFileSync(new URL(`../testdata/${name}.json`, import.meta.url), "utf8"),
);

suite("a cache config", () => {
  for (const [i, golden] of goldens.entries()) {
    test(`that BuildKit wrote (${i}) is read, in normal order already, and written byte for byte`, () => {
      const config = parseCacheConfig(golden);
      assert.equal(Buffer.from(encodeCacheConfig(config)).toString(), JSON.stringify(JSON.parse(golden)));
      assert.deepEqual(normalizeConfig(config), config);
    });
  }

  test("has the same bytes in whatever order its records came", () => {
    const config = parseCacheConfig(goldens[2] ?? "");
    fc.assert(
      fc.property(fc.shuffledSubarray([...config.records.keys()], { minLength: config.records.length }), (order) => {
        const place = new Map(order.map((from, to) => [from, to]));
        const records = order.flatMap((from) => config.records[from] ?? []);
        const moved = records.map((record) => ({
          ...record,
          inputs: record.inputs.map((links) =>
            links.map((l) => ({ ...l, link: place.get(l.link) ?? -1 })).toReversed(),
          ),
        }));
        assert.deepEqual(normalizeConfig({ layers: config.layers, records: moved }), config);
      }),
    );
  });

  test("is refused if it refers to what it does not have, or goes in circles", () => {
    const blob = d("b");
    const record = (inputs: unknown): unknown => ({ digest: blob, inputs });
    const bad: readonly (readonly [unknown, RegExp])[] = [
      [[], /no object/],
      [{ layers: [{ blob, parent: 1 }] }, /invalid layer index 1/],
      [{ layers: [{ blob, parent: 0 }] }, /looping layer/],
      [{ layers: [{ blob: "x", parent: -1 }] }, /invalid digest/],
      [{ records: [record([[]])] }, /invalid empty input/],
      [{ records: [record([[{ link: 1 }]])] }, /invalid record ID: 1/],
      [{ records: [record([[{ link: 1 }]]), record([[{ link: 0 }]])] }, /looping record/],
      [{ records: [record([[{ link: -1 }]])] }, /invalid index/],
      [{ records: [{ digest: blob, layers: [{ layer: 0, createdAt: "2020-01-01T00:00:00Z" }] }] }, /layer index 0/],
      [{ records: [{ digest: blob, layers: [{ layer: 0, createdAt: "x" }] }] }, /invalid time/],
    ];
    for (const [json, message] of bad) assert.throws(() => parseCacheConfig(JSON.stringify(json)), message);
  });

  test("never makes parsing throw anything but a BuildError", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.string(),
          fc.json().map((j) => `{"records":[${j}],"layers":${j}}`),
        ),
        (text) => {
          try {
            parseCacheConfig(text);
          } catch (error) {
            assert.ok(error instanceof BuildError);
          }
        },
      ),
    );
  });
});

suite("CacheChains", () => {
  const descriptor = (name: string): { mediaType: string; digest: ReturnType<typeof d>; size: number } => ({
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    digest: d(name),
    size: 1,
  });
  const result = (names: readonly string[]): Parameters<CacheChains["add"]>[2][number] => ({
    createdAt: 1,
    remote: { descriptors: names.map(descriptor) },
    vertex: d("v"),
    output: 0,
  });

  test("takes records that share a link of each input for one, and leaves out random ones", () => {
    const chains = new CacheChains();
    const [a, b] = [chains.add(d("a"), [], []), chains.add(d("b"), [], [])];
    assert.ok(a !== undefined && b !== undefined);
    assert.equal(chains.add("random:x" as ReturnType<typeof d>, [], []), undefined);
    const one = chains.add(d("c"), [[{ record: a, selector: "" }]], [result(["x", "y"])]);
    const both = [
      { record: a, selector: "" },
      { record: b, selector: "s" },
    ];
    const two = chains.add(d("c"), [both], [result(["x", "y"])]);
    assert.equal(one, two);
    const { config, descriptors } = chains.toConfig();
    assert.equal(config.records.length, 3);
    assert.equal(config.layers.length, 2);
    assert.equal(descriptors.size, 2);
    assert.equal(config.records.find((record) => record.digest === d("c"))?.inputs[0]?.length, 2);
    assert.deepEqual(parseCacheConfig(encodeCacheConfig(config)), config);
  });
});

suite("CacheChains with records that turn out to be one", () => {
  const link = (
    record: ChainRecord | undefined,
  ): readonly { readonly record: ChainRecord; readonly selector: string }[] =>
    record === undefined ? [] : [{ record, selector: "" }];

  test("keeps what was added by either name", () => {
    const chains = new CacheChains();
    const [a, b] = [chains.add(d("a"), [], []), chains.add(d("b"), [], [])];
    const [fromA, fromB] = [chains.add(d("c"), [link(a)], []), chains.add(d("c"), [link(b)], [])];
    chains.add(d("x"), [link(fromA)], []);
    chains.add(d("y"), [link(fromB)], []);
    chains.add(d("c"), [[...link(a), ...link(b)]], []);
    chains.add(d("z"), [[...link(fromA), ...link(fromB)]], []);
    const { config } = chains.toConfig();
    assert.deepEqual(
      config.records.map(({ digest }) => digest).toSorted(),
      ["a", "b", "c", "x", "y", "z"].map(d).toSorted(),
    );
    assert.deepEqual(parseCacheConfig(encodeCacheConfig(config)), config);
  });

  test("never goes in circles", () => {
    const digests = fc.array(fc.tuple(fc.nat(3), fc.array(fc.nat(20), { maxLength: 3 })), { maxLength: 20 });
    fc.assert(
      fc.property(digests, (additions) => {
        const chains = new CacheChains();
        const records = [chains.add(d("root"), [], [])];
        for (const [name, from] of additions) {
          const links = from.flatMap((at) => link(records[at % records.length]));
          records.push(chains.add(d(`${name}`), links.length === 0 ? [] : [links], []));
        }
        const { config } = chains.toConfig();
        assert.deepEqual(parseCacheConfig(encodeCacheConfig(config)), config);
      }),
    );
  });
});

suite("ConfigCacheStore", () => {
  const context: OpContext = {
    signal: new AbortController().signal,
    progress: noProgress,
    sessions: () => [],
    values: () => [],
  };

  test("finds keys by links and loads all layers of a result", async () => {
    const chains = new CacheChains();
    const content = chains.add(rootKey(d("content"), contentOutput), [], []);
    assert.ok(content !== undefined);
    const descriptors = ["low", "high"].map((name) => ({ mediaType: "", digest: d(name), size: 1 }));
    const results = [{ createdAt: 7, remote: { descriptors }, vertex: d("v"), output: 2 }];
    chains.add(rootKey(d("op"), 2), [[{ record: content, selector: "" }]], results);
    const loaded: string[][] = [];
    const fake = new FakeResults();
    const store = new ConfigCacheStore("remote", chains.toConfig().config, {
      load: (layers) => {
        loaded.push([...layers]);
        return Promise.resolve(fake.create("v"));
      },
      exists: () => Promise.resolve(true),
    });
    const link = { key: new SolverKey(d("content"), contentOutput), selector: undefined };
    const target = { inputIndex: 0, digest: d("op"), output: 2 };
    assert.deepEqual(await store.query([link], { ...target, output: 0 }), []);
    const [key] = await store.query([link], target);
    assert.ok(key !== undefined);
    const [record] = await store.records(key);
    assert.ok(record?.createdAt === 7);
    await store.load(record, context);
    assert.deepEqual(loaded, [[d("low"), d("high")]]);
  });
});
