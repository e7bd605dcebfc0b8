import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import fc from "fast-check";
import { EnvironmentList } from "./environment.ts";
import { ShellPattern } from "./shell-pattern.ts";
import { expandWord } from "./shell-words.ts";

const environment = new EnvironmentList([
  ["a", "foo.bar.baz"],
  ["e", ""],
  ["s", "one two"],
]);
const expand = (text: string): string => expandWord(text, environment, { escape: "\\" }).result;

suite("expandWord()", () => {
  for (const [text, result] of [
    ["$a/${a}", "foo.bar.baz/foo.bar.baz"],
    ["'$a' \"$a\" \\$a", "$a foo.bar.baz $a"],
    ["${u:-x}${u-y}${e:-z}${e-w}", "xyz"],
    ["${a:+x}${e:+y}${e+z}${u+w}", "xz"],
    ["${a#*.} ${a##*.} ${a%.*} ${a%%.*}", "bar.baz baz foo.bar foo"],
    ["${a/./-} ${a//./-} ${a//ba?/<$0>}", "foo-bar.baz foo-bar-baz foo.<>.<>"],
    ["${u:-${a%%.*}}", "foo"],
    ["$1x $ $$", "x $ "],
    ["${a/*/x}", "x"],
    ["<<  EOF", "<<  EOF"],
  ] as const)
    test(`makes ${JSON.stringify(result)} of ${text}`, () => assert.equal(expand(text), result));

  for (const [text, why] of [
    ["${a:-b", "syntax error: missing '}'"],
    ["${}", "syntax error: bad substitution"],
    ["${u?}", "u: is not allowed to be unset"],
    ["${e:?no e}", "e: no e"],
    ["${a^}", "unsupported modifier (^) in substitution"],
    ["'x", "unexpected end of statement while looking for matching single-quote"],
    ["${a:#x}", "unsupported modifier (:#) in substitution"],
    ["${a#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'"],
  ] as const)
    test(`refuses ${text}`, () =>
      assert.throws(() => expand(text), { message: `failed to process ${JSON.stringify(text)}: ${why}` }));

  test("splits unquoted values and tells names apart", () => {
    const { words, matched, unmatched } = expandWord('$s "$s" $u', environment, { escape: "\\" });
    assert.deepEqual(words, ["one", "two", "one two"]);
    assert.deepEqual([[...matched], [...unmatched]], [["s"], ["u"]]);
  });

  test("leaves unset references as they are when told so", () => {
    const options = { escape: "\\", skipUnset: true };
    assert.equal(expandWord("$u ${u:-x} ${u/a/b}", environment, options).result, "$u ${u:-x} ${u/a/b}");
  });

  test("throws nothing but BuildError, however deep the nesting", () => {
    assert.throws(() => expand("${u:-".repeat(100_000)), BuildError);
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("$", "{", "}", ":", "-", "#", "%", "/", "a", "u", "\\", "'", '"', "*", "?", "<", " ")),
        (parts) => {
          try {
            expand(parts.join(""));
          } catch (error) {
            assert.ok(error instanceof BuildError);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});

suite("ShellPattern", () => {
  test("takes linear time for patterns that make regular expressions hang", () => {
    const pattern = new ShellPattern(`${"*a".repeat(200)}b`);
    assert.equal(pattern.trimPrefix("a".repeat(5000), true), "a".repeat(5000));
  });

  test("finds what a regular expression finds", () => {
    const part = fc.constantFrom("a", "b", "*", "?", "\n");
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 6 }),
        fc.stringMatching(/^[ab\n]{0,8}$/),
        fc.boolean(),
        (parts, text, greedy) => {
          const source = parts
            .map((p) => (p === "*" ? (greedy ? "[^\n]*" : "[^\n]*?") : p === "?" ? "[^\n]" : p))
            .join("");
          const match = new RegExp(`^${source}`).exec(text);
          const expected = match === null ? text : text.slice(match[0].length);
          assert.equal(new ShellPattern(parts.join("")).trimPrefix(text, greedy), expected);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
