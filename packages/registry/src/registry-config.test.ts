import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointsOf } from "./registry-config.ts";

test("endpointsOf speaks plain HTTP only where that is said, or may be for this machine", () => {
  const scheme = (host: string, config = {}, insecure = false): string | undefined =>
    endpointsOf(host, { [host]: config }, { insecure }).at(-1)?.scheme;
  assert.equal(scheme("example.com"), "https");
  assert.equal(scheme("example.com", { insecure: true }), "https");
  assert.equal(scheme("example.com", { http: true }), "http");
  assert.equal(scheme("example.com", {}, true), "https-or-http");
  assert.equal(scheme("localhost:5000"), "https-or-http");
  assert.equal(scheme("127.0.0.1:5000", { http: false }), "https");
  assert.equal(scheme("127.evil.example"), "https");
  assert.equal(endpointsOf("docker.io", {})[0]?.host, "registry-1.docker.io");
  assert.equal(endpointsOf("docker.io", {})[0]?.namespace, undefined);
});
