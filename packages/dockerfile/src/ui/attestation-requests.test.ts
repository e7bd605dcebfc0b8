import assert from "node:assert/strict";
import { test } from "node:test";
import { readAttestationRequests } from "./attestation-requests.ts";

test("readAttestationRequests() reads both spellings of options, with the default scanner", () => {
  assert.deepEqual(readAttestationRequests({ "attest:provenance": "mode=min,inline-only=true", target: "x" }), {
    provenance: { mode: "min", "inline-only": "true" },
    sbom: undefined,
  });
  assert.deepEqual(readAttestationRequests({ "build-arg:BUILDKIT_ATTEST_SBOM": "" }), {
    provenance: undefined,
    sbom: { generator: "docker.io/docker/buildkit-syft-scanner:stable-1", parameters: {} },
  });
  assert.deepEqual(readAttestationRequests({ "attest:sbom": 'generator=localhost:5000/scan,"NOTE=a,b",FLAG' }).sbom, {
    generator: "localhost:5000/scan:latest",
    parameters: { NOTE: "a,b", FLAG: "" },
  });
});

for (const [options, message] of [
  [{ "attest:foo": "" }, /unknown attestation type "foo"/],
  [{ "attest:sbom": "generator=" }, /sbom generator cannot be empty/],
  [{ "attest:sbom": "generator=In Valid" }, /failed to parse sbom generator/],
  [{ "attest:provenance": 'a"b' }, /failed to parse provenance/],
] as const) {
  test(`readAttestationRequests() refuses ${JSON.stringify(options)}`, () => {
    assert.throws(() => readAttestationRequests(options), { code: "invalid_argument", message });
  });
}
