import assert from "node:assert/strict";
import { test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import fc from "fast-check";
import { Glob } from "./glob.ts";
import { compileFileMatch } from "./match-path.ts";
import { initialFilterState, PathFilter } from "./path-filter.ts";
import { type MatchInfo, PatternMatcher } from "./pattern-matcher.ts";

const cases: readonly (readonly [pattern: string, path: string, matches: boolean])[] = [
  ["**", "file", true],
  ["**", "dir/file", true],
  ["**/", "file", true],
  ["**/**", "dir/file", true],
  ["dir/**", "dir/file", true],
  ["dir/**", "dir", false],
  ["**/dir", "dir", true],
  ["**/dir", "a/dir", true],
  ["**/dir/**", "a/dir/b", true],
  ["**/*.txt", "a/b.txt", true],
  ["**/*.txt", "b.txt", true],
  ["**file", "dir/afile", true],
  ["a**/*.txt", "a/dir/file.txt", true],
  ["a/**/b", "a/b", true],
  ["a/**/b", "a/x/y/b", true],
  ["a/**/b", "ab", false],
  ["a/*/b", "a/x/y/b", false],
  ["abc.def", "abcZdef", false],
  ["abc?def", "abcZdef", true],
  ["abc?def", "abc/def", false],
  ["a\\*b", "a*b", true],
  ["a\\*b", "axb", false],
  ["[a-c]x", "bx", true],
  ["[^a-c]x", "bx", false],
  ["a(b)|c", "a(b)|c", true],
  ["a", "a/b/c", true],
  [" ./a/ ", "a/b", true],
  ["a/../b", "b", true],
  ["é?", "é😀", true],
  ["*a*a*a*b", "aaaaaaaaaaab", true],
  ["*a*a*a*b", "aaa/aaaaaaaab", false],
];

test("PatternMatcher matches as moby's does", () => {
  for (const [pattern, path, matches] of cases) {
    assert.equal(new PatternMatcher([pattern]).matches(path), matches, `${pattern} on ${path}`);
  }
});

test("PatternMatcher lets the last pattern decide, also with what was found for the parents", () => {
  const lists: readonly (readonly [patterns: string[], path: string, matches: boolean])[] = [
    [["**", "!a"], "a/b", false],
    [["a", "!a/b", "a/b/c"], "a/b/d", false],
    [["a", "!a/b", "a/b/c"], "a/b/c", true],
    [["a", "!a/b", "a/b/c"], "a/x", true],
    [["!a", "a"], "a/x", true],
    [["**/*.md", "!README.md"], "README.md", false],
    [["**/*.md", "!README.md"], "x/README.md", true],
  ];
  for (const [patterns, path, matches] of lists) {
    const matcher = new PatternMatcher(patterns);
    assert.equal(matcher.matches(path), matches, `${patterns.join(" ")} on ${path}`);
    let parents: MatchInfo | undefined;
    let matched = false;
    const parts = path.split("/");
    for (const index of parts.keys()) {
      const result = matcher.matchesUsingParentResults(parts.slice(0, index + 1).join("/"), parents);
      parents = result.info;
      matched = result.matched;
    }
    assert.equal(matched, matches, `${patterns.join(" ")} down to ${path}`);
  }
});

test("PatternMatcher refuses malformed patterns", () => {
  for (const pattern of ["[", "[]a]", "[a", "a\\", "[-]", "[a-", "!"]) {
    assert.throws(
      () => new PatternMatcher([pattern]),
      (error) => error instanceof BuildError && error.code === "invalid_argument",
      pattern,
    );
  }
});

test("both ways to match a pattern agree, and neither takes long", () => {
  const glob = fc.array(fc.constantFrom("a", "b", "/", "*", "?", "**", "**/", "[ab]", "[^a]"), { maxLength: 6 });
  const path = fc.array(fc.constantFrom("a", "b", "/"), { maxLength: 8 });
  fc.assert(
    fc.property(glob, path, (pattern, characters) => {
      const text = characters.join("");
      // More stars than an expression may have, matching nothing more.
      const simulated = Glob.parse(`*x*x*x!${pattern.join("")}`, true);
      const expression = Glob.parse(`!${pattern.join("")}`, true);
      assert.equal(simulated.matches(`xxx!${text}`), expression.matches(`!${text}`));
    }),
  );
  const started = performance.now();
  assert.equal(compileFileMatch("*a".repeat(60))(`${"a".repeat(5000)}b`), false);
  assert.ok(performance.now() - started < 2000);
});

test("PathFilter tells which directories need not be read", () => {
  const filter = new PathFilter({ include: ["src/**", "docs/*.md"], exclude: ["src/gen", "!src/gen/keep/file"] });
  const decide = (path: string): [boolean, boolean] => {
    const { isIncluded, mayIncludeBelow } = filter.decide(path, initialFilterState);
    return [isIncluded, mayIncludeBelow];
  };
  assert.deepEqual(decide("src"), [false, true]);
  assert.deepEqual(decide("src/a"), [true, true]);
  assert.deepEqual(decide("src/gen"), [false, true]);
  assert.deepEqual(decide("src/gen/other"), [false, false]);
  assert.deepEqual(decide("src/gen/keep"), [false, true]);
  assert.deepEqual(decide("src/gen/keep/file"), [true, true]);
  assert.equal(new PathFilter({ include: ["src"] }).decide("other", initialFilterState).mayIncludeBelow, false);
});
