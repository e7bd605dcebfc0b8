import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { IgnoreMatcher, parseGitRef, parseIgnoreFile } from "@buildkit-ts/dockerfile";
import { BuildError } from "@buildkit-ts/errdefs";
import fc from "fast-check";

const runs = process.env["NIGHTLY"] === undefined ? 1000 : 50_000;
const pieces = fc.array(
  fc.oneof(
    fc.constantFrom(
      ..."* ** ? [a-z] [^a] [ ] ! !! # / // . .. ./ ../ \\ a b .git {a,b} \n \r\n \t : @ # ? & = ref= subdir= https:// git:// ssh:// .git".split(
        " ",
      ),
    ),
    fc.string({ maxLength: 4, unit: "binary" }),
  ),
  { maxLength: 14 },
);

function acceptedOrRefused(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof BuildError, error instanceof Error ? (error.stack ?? "") : String(error));
    assert.notEqual(error.code, "internal");
  }
}

suite("whatever stands beside a Dockerfile", () => {
  test("as an ignore file is accepted or refused, and judges any path", () => {
    fc.assert(
      fc.property(pieces, pieces, (patterns, path) => {
        acceptedOrRefused(() => {
          const list = parseIgnoreFile(new TextEncoder().encode(patterns.join("")));
          assert.equal(typeof new IgnoreMatcher(list).excludes(path.join("")), "boolean");
        });
      }),
      { numRuns: runs },
    );
  });

  test("as an address of a repository is one, or is none, or is refused", () => {
    fc.assert(
      fc.property(pieces, (words) => {
        acceptedOrRefused(() => {
          const ref = parseGitRef(words.join(""));
          assert.ok(ref === undefined || typeof ref.remote === "string");
        });
      }),
      { numRuns: runs },
    );
  });
});
