import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ContentWeights } from "./content-weights.ts";

const mib = 1 << 20;

function expectedOf(files: Readonly<Record<string, number>>): ContentWeights["expected"] {
  const weights = new ContentWeights();
  for (const [path, bytes] of Object.entries(files)) weights.add(path, bytes);
  return weights.expected;
}

suite("The weights of a tree", () => {
  test("name what has most of it, the heaviest first, and nothing that has little", () => {
    assert.deepEqual(
      expectedOf({
        ".git/objects/pack/a": 20 * mib,
        ".git/index": 10 * mib,
        "little/file": 2 * mib,
        "node_modules/x/a": 30 * mib,
        "node_modules/y/b": 30 * mib,
      }),
      {
        bytes: 92 * mib,
        files: 5,
        heaviest: [
          { path: "node_modules", bytes: 60 * mib, files: 2 },
          { path: ".git", bytes: 30 * mib, files: 2 },
        ],
      },
    );
  });

  test("go down to the one file or directory that has nearly all of a part", () => {
    const { heaviest } = expectedOf({
      "a/b/c/d/e": 50 * mib,
      "a/b/c/d/f": 50 * mib,
      "a/small": mib,
      "data/model.bin": 70 * mib,
      "data/readme": 10,
      "top.iso": 60 * mib,
    });
    assert.deepEqual(heaviest, [
      { path: "a/b/c", bytes: 100 * mib, files: 2 },
      { path: "data/model.bin", bytes: 70 * mib, files: 1 },
      { path: "top.iso", bytes: 60 * mib, files: 1 },
    ]);
  });

  test("of names that begin with those of others are told apart", () => {
    const { heaviest } = expectedOf({ "a/x": mib, "a/y": mib, "ab/x": 3 * mib, "ab/y": 3 * mib, a: 0 });
    assert.deepEqual(
      heaviest.map(({ path, bytes }) => [path, bytes / mib]),
      [
        ["ab", 6],
        ["a", 2],
      ],
    );
  });

  test("of a tree that is spread over many parts name none", () => {
    const files = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`part-${index}/file`, mib]));
    assert.deepEqual(expectedOf(files), { bytes: 40 * mib, files: 40, heaviest: [] });
  });

  test("of an empty tree, or one of empty files, name none", () => {
    assert.deepEqual(expectedOf({}), { bytes: 0, files: 0, heaviest: [] });
    assert.deepEqual(expectedOf({ "a/b": 0 }), { bytes: 0, files: 1, heaviest: [] });
  });

  test("count all of what has too many names, for the directory that it is in", () => {
    const weights = new ContentWeights();
    for (let index = 0; index < 50_000; index += 1) weights.add(`heap/d${index}/file`, 1000);
    assert.deepEqual(weights.expected, {
      bytes: 50e6,
      files: 50_000,
      heaviest: [{ path: "heap", bytes: 50e6, files: 50_000 }],
    });
  });
});
