import assert from "node:assert/strict";
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { digestOf } from "@buildkit-ts/oci";
import { type ChecksumAnswer, checksumTree } from "./checksum-request.ts";
import type { ChecksumQuery } from "./select-paths.ts";

// Digests of the same trees in the test suite of BuildKit's cache/contenthash, at 73ed6825c.
const data0 = "sha256:cd8e75bca50f2d695f220d0cb0997d8ead387e4f926e8669a92d7f104cc9885b";
const data1 = "sha256:c2b5e234f5f38fc5864da7def04782f82501a40d46192e4207d5b3f0c3c4732b";
const data2 = "sha256:1c67653c3cf95b12a0014e2c4cd1d776b474b3218aee54155d6ae27b9b999c54";
const directoryD0 = "sha256:d47454417d2c554067fbefe5f5719edc49f3cfe969c36b62e34a187a4da0cc9a";
const directoryD0ByFile = "sha256:6b612ad5c13159112ae26357ef7bd34df29916941ba40ec2ce38dfb70c6c60c3";
const directoryD0Modified = "sha256:555ffa3028630d97ba37832b749eda85ab676fd64ffb629fbf0f4ec8c1e3bff1";
const doubleStar = "sha256:aa7448215bbf5b837b35ce64467857d8b9747965573d14d4b31b370586370971";
const nothing = digestOf("");

type Options = Partial<Omit<ChecksumQuery, "path">>;

/** Makes files of `path file content`, `path dir`, `path link target`, `path hardlink target`. */
function makeTree(t: TestContext, lines: readonly string[]): string {
  process.umask(0o022);
  const root = mkdtempSync(join(tmpdir(), "checksum-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const tree = join(root, "tree");
  mkdirSync(tree, { mode: 0o755 });
  for (const line of lines) {
    const [path = "", kind, value = ""] = line.split(" ");
    if (kind === "dir") mkdirSync(join(tree, path), { mode: 0o755 });
    else if (kind === "link") symlinkSync(value, join(tree, path));
    else if (kind === "hardlink") linkSync(join(tree, value), join(tree, path));
    else writeFileSync(join(tree, path), value, { mode: 0o644 });
  }
  return tree;
}

/** Asks one query after the other, each knowing what the ones before it have read. */
function makeChecksums(root: string): (path: string, options?: Options) => string {
  let known: Uint8Array | undefined;
  return (path, options = {}) => {
    const query: ChecksumQuery = {
      path,
      followLinks: false,
      wildcard: false,
      includePatterns: [],
      excludePatterns: [],
      requiredPaths: [],
      ...options,
    };
    const answer: ChecksumAnswer = checksumTree({ query, known, root }, () => undefined);
    assert.ok(answer.kind === "done");
    known = answer.known ?? known;
    // What is known must be enough for the same question, without the tree.
    const again = checksumTree({ query, known, root: undefined }, () => undefined);
    assert.deepEqual(again, { kind: "done", digest: answer.digest, known: undefined });
    return answer.digest;
  };
}

const followLinks = true;
const wildcard = true;
const d0 = ["d0 dir", "d0/abc file data0", "d0/def link abc", "d0/ghi link nosuchfile"];

test("files, links and directories have BuildKit's digests", (t) => {
  const checksum = makeChecksums(makeTree(t, ["foo file data0", "bar file data1", ...d0]));
  assert.throws(() => checksum("nosuch", { followLinks }), { code: "unknown", message: '"/nosuch": not found' });
  assert.equal(checksum("foo", { followLinks }), data0);
  assert.equal(checksum("bar", { followLinks }), data1);
  assert.equal(checksum("d0/abc", { followLinks }), data0);
  assert.equal(checksum("d0/def", { followLinks }), data0);
  assert.notEqual(checksum("d0/def"), data0);
  assert.throws(() => checksum("d0/ghi", { followLinks }), { code: "unknown" });
  assert.equal(
    checksum("/", { followLinks }),
    "sha256:427c9cf9ae98c0f81fb57a3076b965c7c149b6b0a85625ad4e884236649a42c6",
  );
  assert.equal(checksum("d0", { followLinks }), directoryD0);
});

test("the digest of a directory is that of its content, wherever it is", (t) => {
  const lines = ["abc file data0", "def link abc"];
  assert.equal(makeChecksums(makeTree(t, [...lines, "ghi link nosuchfile"]))("/", { followLinks }), directoryD0);
  assert.equal(makeChecksums(makeTree(t, lines))("/", { followLinks }), directoryD0Modified);
});

test("further parts of a tree are read when they are asked for", (t) => {
  const checksum = makeChecksums(makeTree(t, ["abc dir", "abc/aa dir", "abc/aa/foo file data2", ...d0]));
  assert.equal(checksum("abc/aa/foo", { followLinks }), data2);
  assert.equal(checksum("d0", { followLinks }), directoryD0);
});

test("a path is read without its parent directories, and not twice", (t) => {
  const tree = makeTree(t, ["aa dir", "aa/bb dir", "aa/bb/cc dir", "aa/bb/cc/dd file data0", "aa/ln link /aa"]);
  const checksum = makeChecksums(tree);
  assert.equal(checksum("aa/ln/bb/cc/dd", { followLinks }), data0);
  unlinkSync(join(tree, "aa/bb/cc/dd"));
  writeFileSync(join(tree, "aa/bb/new"), "data0", { mode: 0o644 });
  assert.equal(checksum("aa/bb/cc/dd"), data0);
  assert.equal(checksum("aa/bb/new"), data0);
});

test("hard links have the digest of their file", (t) => {
  const checksum = makeChecksums(makeTree(t, ["abc dir", "abc/foo file data0", "ln hardlink abc/foo"]));
  assert.equal(checksum("abc/foo"), data0);
  assert.equal(checksum("ln"), data0);
});

test("wildcards select entries by themselves", (t) => {
  const lines = ["bar file data1", "foo file data0", "fox file data2", "x dir", ...d0.map((line) => `x/${line}`)];
  const checksum = makeChecksums(makeTree(t, [...lines, "y1 link foo", "y2 link fox"]));
  assert.equal(checksum("f*o", { wildcard }), digestOf(`\0foo${data0}`));
  assert.equal(checksum("f*", { wildcard }), "sha256:0b6731924f0a32a812bf8a729202e55e54ded331f9e4ff2397f681e43694e086");
  assert.equal(checksum("x/d?", { wildcard }), directoryD0ByFile);
  assert.equal(checksum("x/d?/def", { followLinks, wildcard }), data0);
  const y = "sha256:982153600b9653a1decb0f961e09e2bc1be335cfcaac9b39dbd1120b65fdf92c";
  assert.equal(checksum("y*", { followLinks, wildcard }), y);
  assert.equal(checksum("nothing*", { wildcard }), nothing);
});

for (const options of [{}, { wildcard }]) {
  test(`include and exclude patterns select what counts, ${JSON.stringify(options)}`, (t) => {
    const before = ["foo file data0", "bar file data1", "d0 dir", "d0/abc file abc", "d1 dir", "d1/def file def"];
    const first = makeChecksums(makeTree(t, before));
    const second = makeChecksums(makeTree(t, [...before, "baz file data2", "d0/xyz file xyz", "d2 dir"]));
    const include = (...includePatterns: string[]): Options => ({ ...options, includePatterns });
    assert.notEqual(first("", include("foo")), nothing);
    assert.notEqual(first("", include("foo")), first("", include("foo", "bar")));
    assert.equal(first("", include("foo", "bar")), second("", include("foo", "bar")));
    assert.notEqual(first("", include("d0")), second("", include("d0")));
    assert.equal(first("", include("d1")), second("", include("d1")));
    assert.equal(first("", include("d0/*")), first("", include("d0/a*")));
    assert.notEqual(first("", include("d0/*")), second("", include("d0/*")));
    assert.equal(first("", include("d0/a*")), second("", include("**/abc")));
    assert.equal(first("", include("d0/*")), second("", { ...include("d0/*"), excludePatterns: ["d0/xyz"] }));
    assert.equal(first("", include("d2/foo")), nothing);
    assert.equal(second("d2", include("foo")), nothing);
  });

  test(`two stars cross directories, ${JSON.stringify(options)}`, (t) => {
    const lines = ["prefix dir", "prefix/a dir", "prefix/a/b dir", "prefix/a/b/c dir"];
    const without = makeChecksums(makeTree(t, lines));
    assert.equal(without("prefix/a", { ...options, includePatterns: ["**/foo/**"] }), nothing);
    const checksum = makeChecksums(makeTree(t, [...lines, "prefix/a/b/c/foo dir", "prefix/a/b/c/foo/bar file abc"]));
    for (const pattern of ["**/foo/**", "**/foo"])
      assert.equal(checksum("prefix/a", { ...options, includePatterns: [pattern, "**/report"] }), doubleStar);
  });
}

test("patterns apply below what links lead to, as if it were there", (t) => {
  const lines = ["data dir", "data/d0 dir", "data/d0/d1 dir", "data/d0/d1/d2 dir", "mnt dir", "mnt/data link ../data"];
  const tree = makeTree(t, [...lines, "data/d0/d1/d2/foo file abc", "data/symlink-to-d0 link d0"]);
  const checksum = makeChecksums(tree);
  const includePatterns = ["**/foo"];
  for (const path of ["data/d0", "data/d0/d1/d2"]) {
    const plain = checksum(path, { includePatterns });
    assert.notEqual(plain, nothing);
    assert.equal(checksum(`mnt/${path}`, { includePatterns }), plain);
    assert.equal(checksum(`mnt/${path}`, { includePatterns, wildcard }), plain);
  }
  for (const path of ["data/d*", "data/d0/d1/d*", "data/d0/d*/d2"])
    assert.equal(checksum(`mnt/${path}`, { includePatterns, wildcard }), checksum(path, { includePatterns, wildcard }));
  assert.equal(
    checksum("mnt/data/symlink-to-d0/d*/d2", { includePatterns, wildcard }),
    checksum("mnt/data/d0/d*/d2", { includePatterns, wildcard }),
  );
});

test("an exclude pattern that matches nothing changes nothing", (t) => {
  const checksum = makeChecksums(makeTree(t, ["test dir", "test/foo file data0"]));
  const expected = "sha256:8f36dfd60011a21345427f4d3177b1223e11fbb732c18dd07cd8b2a27a0b53ca";
  assert.equal(checksum("test"), expected);
  assert.equal(checksum("test", { excludePatterns: ["*.git"] }), expected);
});

test("required paths must be there", (t) => {
  const checksum = makeChecksums(makeTree(t, d0));
  checksum("d0", { excludePatterns: ["x"], requiredPaths: ["/d0/abc"] });
  const missing = { excludePatterns: ["x"], requiredPaths: ["/d0/abd"] };
  assert.throws(() => checksum("d0", missing), { code: "unknown" });
});

test("links never lead out of the tree, and circles end", (t) => {
  const checksum = makeChecksums(
    makeTree(t, ["up link ../../../../etc", "a link b", "b link a", "etc dir", "etc/x file data0"]),
  );
  assert.equal(checksum("up/x", { followLinks }), data0);
  assert.equal(checksum("up/../up/x", { followLinks }), data0);
  assert.throws(() => checksum("a", { followLinks }), /too many links/);
});
