import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "@buildkit-ts/oci";
import { type BridgeRef, emptyResult } from "../bridge/bridge-ref.ts";
import { RequestTrace, type TracedRequest } from "./request-trace.ts";

const request = (frontend: string): TracedRequest => ({ frontend, options: {}, inputs: {} });
const ref = (id: string): BridgeRef => ({ id }) as BridgeRef;

test("RequestTrace.find() gives the innermost request that a ref was solved for", () => {
  const build = new RequestTrace(undefined, request("gateway.v0"));
  const outer = build.child(request("gateway.v0"));
  const inner = outer.child(request("dockerfile.v0"));
  const [a, b] = [ref("a"), ref("b")];
  inner.addResult({ ...emptyResult, ref: a });
  outer.addResult({ ...emptyResult, ref: b });
  // What a frontend passes on is still the other one's.
  outer.addResult({ ...emptyResult, ref: a });
  assert.equal(build.find(a), inner);
  assert.equal(build.find(b), outer);
  assert.equal(build.find(ref("c")), undefined);
  assert.deepEqual(new Set(outer.refs()), new Set([a, b]));
  assert.equal(inner.root?.frontend, "gateway.v0");
});

test("RequestTrace.images() has each image of a platform once", () => {
  const trace = new RequestTrace(undefined, request(""));
  assert.equal(trace.root, undefined);
  const image = { ref: "a", platform: { os: "linux", architecture: "amd64" }, digest: digestOf("a"), local: false };
  for (let i = 0; i < 3; i++) trace.addImage({ ...image });
  trace.child(request("f")).addImage({ ...image, platform: { os: "linux", architecture: "arm64" } });
  assert.equal([...trace.images()].length, 2);
});

test("RequestTrace.find() stays quick, however many results a frontend solves", () => {
  const trace = new RequestTrace(undefined, request("f"));
  const refs = Array.from({ length: 50_000 }, (_, i) => ref(String(i)));
  for (const one of refs) {
    trace.addResult({ ...emptyResult, ref: one });
    assert.equal(trace.find(one), trace);
  }
});
