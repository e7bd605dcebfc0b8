import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { IgnoreMatcher, parseIgnoreFile, readIgnoreFile } from "./ignore-matcher.ts";

suite("IgnoreMatcher", () => {
  for (const [patterns, excluded, kept] of [
    [["*.log"], ["a.log", "a.log/x"], ["d/a.log", "a.txt"]],
    [["**/*.log"], ["a.log", "d/e/a.log"], ["a.logs"]],
    [["**.log"], ["a.log", "d/a.log"], ["a.txt"]],
    [["**/x"], ["x", "a/x", "a/x/y"], ["ax"]],
    [["a/**"], ["a/b", "a/b/c"], ["b"]],
    [["a/**/z"], ["a/z", "a/b/c/z"], ["a/zz", "az"]],
    [["[a-c]?"], ["ax", "cz"], ["dx", "a"]],
    [["d", "!d/keep"], ["d/x"], ["d/keep", "d/keep/y"]],
    [["a\\*"], ["a*"], ["ab"]],
  ] as const)
    test(`applies ${patterns.join(" ")}`, () => {
      const matcher = new IgnoreMatcher(patterns);
      assert.deepEqual(
        excluded.filter((path) => !matcher.excludes(path)),
        [],
      );
      assert.deepEqual(
        kept.filter((path) => matcher.excludes(path)),
        [],
      );
    });

  test("takes polynomial time for hostile patterns", () => {
    assert.equal(new IgnoreMatcher([`${"*a**/".repeat(50)}b`]).excludes("a".repeat(2000)), false);
  });
});

test("parseIgnoreFile() cleans paths and drops comments", () => {
  const text = "\uFEFF# c\n /abs/ \n!  x/../y\n\n./a//b\r\n#d\n  # e\n";
  assert.deepEqual(parseIgnoreFile(new TextEncoder().encode(text)), ["abs", "!y", "a/b", "# e"]);
});

test("readIgnoreFile() names the file and the pattern that is malformed", () => {
  const read = (text: string): string[] => readIgnoreFile(".dockerignore", new TextEncoder().encode(text));
  assert.deepEqual(read("a\n!b[c]\n"), ["a", "!b[c]"]);
  assert.throws(() => read("a\nx/[b\n"), {
    code: "invalid_argument",
    message: 'failed to parse .dockerignore: syntax error in pattern: "x/[b"',
  });
  assert.throws(() => read("!\n"), /failed to parse \.dockerignore: .*"!"/);
});
