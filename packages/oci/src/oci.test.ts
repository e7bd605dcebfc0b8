import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compressionOfMediaType, mediaTypes } from "./descriptor.ts";
import { chainIds, type DiffId, digestHex, digestOf, isDigest, parseDigest } from "./digest.ts";
import {
  formatPlatform,
  formatPlatformAll,
  hostPlatform,
  normalizePlatform,
  type Platform,
  parsePlatform,
  platformDistance,
} from "./platform.ts";
import { formatFamiliar, formatReference, parseReference, withDefaultTag } from "./reference.ts";

const digest = `sha256:${"ab".repeat(32)}`;
const linux: Platform = { os: "linux", architecture: "amd64" };

test("parseReference completes names as docker pull does", () => {
  for (const [name, full, familiar] of [
    ["busybox", "docker.io/library/busybox", "busybox"],
    ["busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"],
    ["moby/buildkit:master", "docker.io/moby/buildkit:master", "moby/buildkit:master"],
    ["index.docker.io/a/b", "docker.io/a/b", "a/b"],
    ["docker.io/busybox", "docker.io/library/busybox", "busybox"],
    ["localhost/x", "localhost/x", "localhost/x"],
    ["localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"],
    ["[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"],
    ["ghcr.io/a/b__c/d-e.f:v1", "ghcr.io/a/b__c/d-e.f:v1", "ghcr.io/a/b__c/d-e.f:v1"],
    [`busybox@${digest}`, `docker.io/library/busybox@${digest}`, `busybox@${digest}`],
    [`busybox:1@${digest}`, `docker.io/library/busybox:1@${digest}`, `busybox:1@${digest}`],
    ["UPPER/x", "UPPER/x", "UPPER/x"],
  ] as const) {
    const reference = parseReference(name);
    assert.equal(formatReference(reference), full);
    assert.equal(formatFamiliar(reference), familiar);
    assert.deepEqual(parseReference(full), reference);
  }
});

test("parseReference refuses what is no name, in distribution's words", () => {
  for (const name of [
    "",
    ":",
    "a:",
    "a@",
    "a//b",
    "-a",
    "a..b",
    "a:b c",
    "a@sha256:12",
    "http://x/y",
    "x/../y",
    `a/${"b".repeat(256)}`,
  ]) {
    assert.throws(() => parseReference(name), { code: "invalid_argument", message: /invalid reference format$/ }, name);
  }
  assert.throws(
    () => parseReference("Busybox"),
    /invalid reference format: repository name \(library\/Busybox\) must be lowercase/,
  );
});

test("parseReference ends on any text, and what it accepts it reads back", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("a", "B", "0", ".", "-", "_", "/", ":", "@", "[", "]") }), (name) => {
      let full: string;
      try {
        full = formatReference(parseReference(name));
      } catch (error) {
        assert.equal((error as { code?: string }).code, "invalid_argument");
        return;
      }
      assert.equal(formatReference(parseReference(full)), full);
    }),
  );
});

test("withDefaultTag adds latest to a bare name only", () => {
  assert.equal(withDefaultTag(parseReference("a")).tag, "latest");
  assert.equal(withDefaultTag(parseReference("a:b")).tag, "b");
  assert.equal(withDefaultTag(parseReference(`a@${digest}`)).tag, undefined);
});

test("digests are known algorithms in lower-case hex of the right length", () => {
  assert.ok(isDigest(digest));
  assert.equal(parseDigest(digest), digest);
  assert.equal(digestHex(parseDigest(digest)), "ab".repeat(32));
  for (const text of [
    "",
    "sha256:",
    "sha256:AB",
    digest.toUpperCase(),
    `${digest}0`,
    `md5:${"0".repeat(32)}`,
    `constructor:${"0".repeat(64)}`,
    `${digest}:x`,
  ]) {
    assert.equal(isDigest(text), false, text);
    assert.throws(() => parseDigest(text), { code: "invalid_argument" });
  }
  assert.equal(digestOf(""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});

test("chainIds follows the image spec", () => {
  const [a, b] = [digestOf("a"), digestOf("b")] as unknown as [DiffId, DiffId];
  assert.deepEqual(chainIds([]), []);
  assert.deepEqual(chainIds([a, b]), [a, digestOf(`${a} ${b}`)]);
});

test("parsePlatform completes and normalises specifiers", () => {
  for (const [specifier, full] of [
    ["linux", "linux/amd64"],
    ["amd64", "linux/amd64"],
    ["x86_64", "linux/amd64"],
    ["aarch64", "linux/arm64"],
    ["arm", "linux/arm/v7"],
    ["linux/arm", "linux/arm/v7"],
    ["linux/arm/6", "linux/arm/v6"],
    ["linux/armel", "linux/arm/v6"],
    ["linux/arm64/v8", "linux/arm64"],
    ["linux/amd64/v1", "linux/amd64"],
    ["linux/amd64/v3", "linux/amd64/v3"],
    ["macos/arm64", "darwin/arm64"],
    ["Windows/AMD64", "windows/amd64"],
    ["wasip1/wasm", "wasip1/wasm"],
  ] as const) {
    assert.equal(formatPlatform(parsePlatform(specifier, linux)), full, specifier);
  }
  const windows = parsePlatform("windows(10.0.17763)(win32k)/amd64", linux);
  assert.equal(windows["os.version"], "10.0.17763");
  assert.deepEqual(windows["os.features"], ["win32k"]);
  assert.equal(formatPlatformAll(windows), "windows(10.0.17763)(win32k)/amd64");
  assert.equal(formatPlatformAll(linux), "linux/amd64");
});

test("parsePlatform refuses what is no platform", () => {
  for (const specifier of ["", "/", "linux/", "a/b/c/d", "linux/amd 64", "nonsense", "*", "linux(/amd64"]) {
    assert.throws(() => parsePlatform(specifier, linux), { code: "invalid_argument" }, specifier);
  }
});

test("parsePlatform names the part that is wrong, as containerd does", () => {
  assert.throws(() => parsePlatform("linux/", linux), {
    message: String.raw`"" is an invalid component of "linux/": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument`,
  });
});

test("platformDistance orders the machines that can run an image", () => {
  const distance = (wanted: string, candidate: string): number | undefined =>
    platformDistance(parsePlatform(wanted, linux), parsePlatform(candidate, linux));
  assert.equal(distance("linux/amd64", "linux/amd64"), 0);
  assert.equal(distance("linux/amd64", "linux/arm64"), undefined);
  assert.equal(distance("linux/amd64", "windows/amd64"), undefined);
  assert.equal(distance("linux/amd64", "linux/amd64/v2"), undefined);
  assert.ok((distance("linux/amd64/v3", "linux/amd64/v2") ?? 0) < (distance("linux/amd64/v3", "linux/amd64") ?? 0));
  assert.ok((distance("linux/arm64", "linux/arm/v7") ?? 0) < (distance("linux/arm64", "linux/arm/v6") ?? 0));
  assert.equal(distance("linux/arm/v6", "linux/arm/v7"), undefined);
  assert.equal(distance("windows(10.0.17763)/amd64", "windows(10.0.20348)/amd64"), undefined);
});

test("the host's platform is normalised", () => {
  assert.deepEqual(normalizePlatform(hostPlatform()), hostPlatform());
});

test("compressionOfMediaType reads the suffix of layer types", () => {
  assert.equal(compressionOfMediaType(mediaTypes.ociLayer), "uncompressed");
  assert.equal(compressionOfMediaType(mediaTypes.ociLayerZstd), "zstd");
  assert.equal(compressionOfMediaType(mediaTypes.dockerLayerGzip), "gzip");
  assert.equal(compressionOfMediaType(mediaTypes.dockerForeignLayerGzip), "gzip");
  assert.equal(compressionOfMediaType(mediaTypes.inToto), undefined);
});
