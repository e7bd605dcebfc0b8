import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { matchPath, PatternMatcher, splitWildcards } from "./index.ts";

const cases: readonly (readonly [pattern: string, path: string, matched: boolean])[] = [
  ["**", "file", true],
  ["**", "dir/file", true],
  ["**/", "dir/file", true],
  ["**/**", "dir/file", true],
  ["dir/**", "dir/file", true],
  ["dir/**", "dir", false],
  ["dir/**/", "dir/dir2/file", true],
  ["**/dir", "dir", true],
  ["**/dir", "dir/file", true],
  ["**/dir2/*", "dir/dir2/file", true],
  ["**/dir2/**", "dir/dir2/dir2/file", true],
  ["**file", "dir/file", true],
  ["**/file", "dir/dir/file", true],
  ["**/file*", "dir/dir/file.txt", true],
  ["**/file*txt", "dir/dir/file.txt", true],
  ["**/file*.txt*", "dir/dir/file.txt", true],
  ["**/**/*.txt", "dir/dir/file.txt", true],
  ["**/**/*.txt2", "dir/dir/file.txt", false],
  ["**/*.txt", "file.txt", true],
  ["a**/*.txt", "a/dir/file.txt", true],
  ["a/*.txt", "a/dir/file.txt", false],
  ["a/b/*", "a/b/c/d", true],
  ["a[b-d]e", "ace", true],
  ["a[b-d]e", "aae", false],
  ["a[^b-d]e", "aze", true],
  ["a[\\^b]", "a^", true],
  ["a.|)$(}+{bc", "a.|)$(}+{bc", true],
  ["abc.def", "abcdef", false],
  ["a\\*b", "a*b", true],
  ["a\\*b", "axb", false],
  ["a?c", "a/c", false],
  ["foo/", "foo/x", true],
  [
    "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
    "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
    true,
  ],
];

for (const [pattern, path, matched] of cases) {
  test(`${pattern} ${matched ? "matches" : "does not match"} ${path}`, () => {
    const matcher = new PatternMatcher([pattern]);
    assert.equal(matcher.matches(path), matched);
    if (matched) assert.ok(matcher.canMatchBelow(path.split("/").slice(0, -1).join("/")));
  });
}

test("matches() lets the last pattern decide", () => {
  const matcher = new PatternMatcher(["*", "!src", "src/secret", "  "]);
  assert.equal(matcher.matches("a"), true);
  assert.equal(matcher.matches("src/a"), false);
  assert.equal(matcher.matches("src/secret"), true);
});

test("a malformed pattern is rejected also where nothing reaches it", () => {
  for (const pattern of ["!", "[", "a[", "a[]", "a[-x]", "[a-", "a\\", "b/[^"])
    assert.throws(() => new PatternMatcher([pattern]), { code: "invalid_argument" });
  assert.throws(() => matchPath("a[", "zzz"), { code: "invalid_argument" });
});

test("canMatchBelow() prunes directories that no pattern reaches", () => {
  const matcher = new PatternMatcher(["src/*/lib", "!docs/keep"]);
  assert.equal(matcher.canMatchBelow(""), true);
  assert.equal(matcher.canMatchBelow("src"), true);
  assert.equal(matcher.canMatchBelow("src/a"), true);
  assert.equal(matcher.canMatchBelow("src/a/lib/deep"), true);
  assert.equal(matcher.canMatchBelow("other"), false);
  assert.equal(matcher.canMatchBelow("src/a/other"), false);
  assert.equal(matcher.canNegateBelow("docs"), true);
  assert.equal(matcher.canNegateBelow("src"), false);
});

test("many stars take no exponential time", () => {
  const started = performance.now();
  assert.equal(new PatternMatcher([`${"**/a*".repeat(30)}/z`]).matches("a".repeat(3000)), false);
  assert.ok(performance.now() - started < 2000);
});

test("splitWildcards() cuts before the first element with a wildcard", () => {
  assert.deepEqual(splitWildcards("/a/b*/c"), { prefix: "/a", pattern: "b*/c" });
  assert.deepEqual(splitWildcards("/a/b"), { prefix: "/a/b", pattern: "" });
  assert.deepEqual(splitWildcards("/*"), { prefix: "/", pattern: "*" });
  assert.deepEqual(splitWildcards("a\\*/x?"), { prefix: "a\\*", pattern: "x?" });
});

test("parent results of a walk give the same answers as whole paths", () => {
  const element = fc.constantFrom("a", "b", "ab");
  const pattern = fc
    .tuple(fc.boolean(), fc.array(fc.constantFrom("a", "b", "*", "**", "a*", "?b"), { minLength: 1, maxLength: 4 }))
    .map(([negated, parts]) => `${negated ? "!" : ""}${parts.join("/")}`);
  fc.assert(
    fc.property(
      fc.array(pattern, { maxLength: 5 }),
      fc.array(element, { minLength: 1, maxLength: 5 }),
      (list, parts) => {
        const matcher = new PatternMatcher(list);
        let info: ReturnType<PatternMatcher["matchesUsingParentResults"]>["info"] | undefined;
        for (let depth = 1; depth <= parts.length; depth++) {
          const path = parts.slice(0, depth).join("/");
          const step = matcher.matchesUsingParentResults(path, info);
          info = step.info;
          // A skipped pattern's flag is not handed down, so only sets without negation are exact in both directions.
          if (!matcher.hasNegations) assert.equal(step.matched, matcher.matches(path));
          if (step.matched) assert.ok(matcher.canMatchBelow(parts.slice(0, depth - 1).join("/")));
        }
      },
    ),
  );
});
