import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Digest } from "@buildkit-ts/oci";
import * as fc from "fast-check";
import type { KeyBackend, KeyLink } from "./backed-cache-store.ts";
import { MemoryCacheStore } from "./memory-cache-store.ts";
import { RememberedKeys } from "./remembered-keys.ts";
import { FakeResults } from "./testing/fake-results.ts";

interface Step {
  readonly act: "ask" | "link" | "result" | "release";
  readonly key: string;
  readonly link: KeyLink;
  readonly target: string;
  readonly result: string;
}

const keys = ["a", "b", "c", "d", "e"];
const links: readonly KeyLink[] = [
  { input: 0, digest: "sha256:1" as Digest, selector: "" },
  { input: 1, digest: "sha256:1" as Digest, selector: "x" },
];

/** So few of everything that most of what is asked was asked before. */
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    act: fc.constantFrom("ask", "link", "result", "release"),
    key: fc.constantFrom(...keys),
    link: fc.constantFrom(...links),
    target: fc.constantFrom(...keys),
    result: fc.constantFrom("r1", "r2"),
  }),
  { maxLength: 60 },
);

suite("RememberedKeys", () => {
  test("answers as its backend does, whatever happens to it and however little is kept", () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 6 }), (run, maxKeys) => {
        const plain = memoryKeys();
        const remembered = new RememberedKeys(memoryKeys(), maxKeys);
        for (const step of run) {
          change(plain, step);
          change(remembered, step);
          assert.deepEqual(ask(remembered, step), ask(plain, step));
        }
        for (const key of keys)
          for (const link of links) assert.deepEqual(ask(remembered, { key, link }), ask(plain, { key, link }));
      }),
    );
  });

  test("asks the backend once, until the key changes", () => {
    let asked = 0;
    const backend = memoryKeys();
    const results = (key: string): ReturnType<KeyBackend["results"]> => {
      asked += 1;
      return backend.results(key);
    };
    const remembered = new RememberedKeys({ ...methodsOf(backend), results });
    for (let time = 0; time < 3; time++) assert.deepEqual(remembered.results("a"), []);
    remembered.addResult("a", { id: "r1", createdAt: 1 });
    for (let time = 0; time < 3; time++) assert.equal(remembered.results("a").length, 1);
    assert.equal(asked, 2);
  });

  test("forgets what was asked for within a transaction that failed", () => {
    const backend = memoryKeys();
    const remembered = new RememberedKeys({ ...methodsOf(backend), transaction: rollBack });
    assert.throws(() => remembered.transaction(() => assert.equal(remembered.exists("a"), false)), /rolled back/);
    backend.addResult("a", { id: "r1", createdAt: 1 });
    assert.equal(remembered.exists("a"), true);
  });
});

function memoryKeys(): KeyBackend {
  return new MemoryCacheStore({ id: "local", results: new FakeResults() }).backend;
}

function methodsOf(backend: KeyBackend): KeyBackend {
  return {
    exists: (key) => backend.exists(key),
    targets: (key, link) => backend.targets(key, link),
    addLink: (key, link, target) => backend.addLink(key, link, target),
    results: (key) => backend.results(key),
    addResult: (key, result) => backend.addResult(key, result),
    release: (result) => backend.release(result),
    keysOfResult: (result) => backend.keysOfResult(result),
    sources: (key) => backend.sources(key),
    transaction: (changes) => backend.transaction(changes),
  };
}

function rollBack(changes: () => void): void {
  changes();
  throw new Error("rolled back");
}

function change(backend: KeyBackend, { act, key, link, target, result }: Step): void {
  if (act === "link") backend.addLink(key, link, target);
  else if (act === "result") backend.addResult(key, { id: result, createdAt: 1 });
  else if (act === "release") backend.transaction(() => backend.release(result));
}

function ask(backend: KeyBackend, { key, link }: Pick<Step, "key" | "link">): unknown {
  return [backend.exists(key), backend.targets(key, link), backend.results(key)];
}
