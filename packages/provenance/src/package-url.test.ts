import assert from "node:assert/strict";
import { test } from "node:test";
import { imagePackageUrl } from "./package-url.ts";

const digest = `sha256:${"a".repeat(64)}`;

for (const [name, expected] of [
  ["alpine", "pkg:docker/alpine@latest"],
  ["library/alpine:3.15", "pkg:docker/alpine@3.15"],
  [`docker.io/library/alpine:latest@${digest}`, `pkg:docker/alpine@latest?digest=${digest}`],
  [`docker.io/library/alpine@${digest}`, `pkg:docker/alpine?digest=${digest}`],
  ["ghcr.io/foo/bar", "pkg:docker/ghcr.io/foo/bar@latest"],
  ["localhost:5000/foo:v1", "pkg:docker/localhost%3A5000/foo@v1"],
] as const) {
  test(`imagePackageUrl() of ${name} is ${expected}`, () => assert.equal(imagePackageUrl("docker", name), expected));
}

test("imagePackageUrl() has the platform, escaped, and refuses what is no name", () => {
  const platform = { os: "linux", architecture: "arm", variant: "v7" };
  assert.equal(imagePackageUrl("oci", "busybox", { platform }), "pkg:oci/busybox@latest?platform=linux%2Farm%2Fv7");
  assert.throws(() => imagePackageUrl("docker", "inv:al:id"), { code: "invalid_argument" });
});
