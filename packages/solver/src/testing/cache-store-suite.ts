import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { digestOf } from "@buildkit-ts/oci";
import { noProgress } from "@buildkit-ts/progress";
import { contentOutput } from "../root-key.ts";
import { SolverKey } from "../solver-key.ts";
import type { CacheStore, OpContext } from "../types.ts";
import { FakeResults } from "./fake-results.ts";

const context: OpContext = {
  signal: new AbortController().signal,
  progress: noProgress,
  sessions: () => [],
  values: () => [],
};
const d = digestOf;
const link = (key: SolverKey, selector?: string): { key: SolverKey; selector: ReturnType<typeof d> | undefined } => ({
  key,
  selector: selector === undefined ? undefined : d(selector),
});

/** What every {@linkcode CacheStore} that can be written to does. */
export function cacheStoreSuite(name: string, open: (results: FakeResults) => CacheStore): void {
  suite(`${name} as a CacheStore`, () => {
    test("finds nothing before something was saved", async () => {
      const store = open(new FakeResults());
      assert.deepEqual(await store.query([], { inputIndex: 0, digest: d("a"), output: 0 }), []);
      assert.deepEqual(await store.records(new SolverKey(d("a"), 0)), []);
    });

    test("finds a saved key by digest and output, and loads its result", async () => {
      const results = new FakeResults();
      const store = open(results);
      await store.save(new SolverKey(d("a"), 1), results.create("v"), 5);
      assert.equal((await store.query([], { inputIndex: 0, digest: d("a"), output: 0 })).length, 0);
      const [key] = await store.query([], { inputIndex: 0, digest: d("a"), output: 1 });
      assert.ok(key !== undefined);
      const [record] = await store.records(key);
      assert.equal(record?.createdAt, 5);
      assert.ok(record !== undefined);
      assert.equal((await store.load(record, context)).value, "v");
    });

    test("finds a key by any link of an input, with its selector", async () => {
      const results = new FakeResults();
      const store = open(results);
      const a = await store.save(new SolverKey(d("a"), 0), results.create("a"), 1);
      assert.ok(a instanceof SolverKey);
      const content = new SolverKey(d("c"), contentOutput);
      await store.save(new SolverKey(d("b"), 0, [[link(a, "s"), link(content)]]), results.create("b"), 2);
      const target = { inputIndex: 0, digest: d("b"), output: 0 };
      assert.equal((await store.query([link(a)], target)).length, 0);
      const [byDefinition] = await store.query([link(a, "s")], target);
      const [byContent] = await store.query([link(new SolverKey(d("c"), contentOutput))], target);
      assert.ok(byDefinition !== undefined && byContent !== undefined);
      assert.deepEqual(await store.records(byDefinition), await store.records(byContent));
    });

    test("takes keys that share a link of each input for one key", async () => {
      const results = new FakeResults();
      const store = open(results);
      const content = (text: string): SolverKey => new SolverKey(d(text), contentOutput);
      await store.save(new SolverKey(d("b"), 0, [[link(content("x"))]]), results.create("1"), 1);
      await store.save(new SolverKey(d("b"), 0, [[link(content("x")), link(content("y"))]]), results.create("2"), 2);
      const found = await store.query([link(content("y"))], { inputIndex: 0, digest: d("b"), output: 0 });
      assert.equal(found.length, 1);
      assert.deepEqual(
        (await store.records(found[0] ?? content("z"))).map((record) => record.createdAt).toSorted((x, y) => x - y),
        [1, 2],
      );
    });
  });
  forgettingSuite(name, open);
}

function forgettingSuite(name: string, open: (results: FakeResults) => CacheStore): void {
  suite(`${name} as a CacheStore that forgets`, () => {
    test("never stores what only a random digest leads to", async () => {
      const results = new FakeResults();
      const store = open(results);
      const random = new SolverKey("random:abc" as ReturnType<typeof d>, 0);
      const saved = await store.save(random, results.create("a"), 1);
      await store.save(new SolverKey(d("b"), 0, [[link(random)]]), results.create("b"), 1);
      assert.equal(saved.id, undefined);
      assert.equal((await store.query([link(random)], { inputIndex: 0, digest: d("b"), output: 0 })).length, 0);
    });

    test("forgets records whose results are gone, and the keys that led to them", async () => {
      const results = new FakeResults();
      const store = open(results);
      const a = new SolverKey(d("a"), contentOutput);
      const result = results.create("b");
      const b = await store.save(new SolverKey(d("b"), 0, [[link(a)]]), result, 1);
      await results.release(result.id);
      assert.deepEqual(await store.records(b), []);
      assert.deepEqual(await store.query([link(a)], { inputIndex: 0, digest: d("b"), output: 0 }), []);
    });

    test("keeps a key without results as long as it leads to one that has some", async () => {
      const results = new FakeResults();
      const store = open(results);
      const first = results.create("a");
      const a = await store.save(new SolverKey(d("a"), 0), first, 1);
      assert.ok(a instanceof SolverKey);
      await store.save(new SolverKey(d("b"), 0, [[link(a)]]), results.create("b"), 1);
      await results.release(first.id);
      assert.deepEqual(await store.records(a), []);
      const [again] = await store.query([], { inputIndex: 0, digest: d("a"), output: 0 });
      assert.ok(again instanceof SolverKey);
      assert.equal((await store.query([link(again)], { inputIndex: 0, digest: d("b"), output: 0 })).length, 1);
    });
  });
}
