import assert from "node:assert/strict";
import { test } from "node:test";
import { hostPlatform } from "@buildkit-ts/oci";
import { gitCacheKey, parseGitIdentifier, redactUrls } from "./git-identifier.ts";

const parse = (identifier: string, attributes: Record<string, string> = {}) =>
  parseGitIdentifier({ identifier, attributes, platform: hostPlatform(), vertex: "" });

test("identifiers name remote, ref and directory", () => {
  const { remote, ref, subdirectory } = parse("git://github.com/moby/buildkit.git#v0.1:/a/../docs/");
  assert.deepEqual([remote, ref, subdirectory], ["https://github.com/moby/buildkit.git", "v0.1", "docs"]);
  const full = parse("git://host/repo#main", { "git.fullurl": "git@host:repo.git" });
  assert.equal(full.remote, "git@host:repo.git");
});

test("what git would take for an option or a local file is refused", () => {
  for (const [identifier, attributes] of [
    ["git://host/repo#--upload-pack=x", {}],
    ["git://host/repo", { "git.fullurl": "file:///etc" }],
    ["git://host/repo", { "git.fullurl": "ext::sh -c id" }],
    ["git://host/repo", { "git.checksum": "xyz" }],
  ] as const)
    assert.throws(() => parse(identifier, attributes), { code: "invalid_argument" });
});

test("cache keys are BuildKit's", () => {
  const id = parse("git://host/repo#main:docs", {
    "git.keepgitdir": "true",
    "git.skipsubmodules": "true",
    "git.mtime": "commit",
  });
  assert.equal(
    gitCacheKey(id, "abc", "refs/heads/main"),
    "abc.git#refs/heads/main:docs(skip-submodules)(mtime=commit)",
  );
});

test("credentials in URLs are not shown", () => {
  assert.equal(redactUrls("fatal: https://me:secret@host/x: no"), "fatal: https://xxxxx:xxxxx@host/x: no");
});
