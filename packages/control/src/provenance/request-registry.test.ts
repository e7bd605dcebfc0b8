import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { digestOf } from "@buildkit-ts/oci";
import { RequestRegistry } from "./request-registry.ts";

function definition(head: string): opspb.Definition {
  const last = toBinary(opspb.OpSchema, create(opspb.OpSchema, { inputs: [{ digest: digestOf(head) }] }));
  return create(opspb.DefinitionSchema, { def: [last] });
}

const request = { configSource: {}, request: { frontend: "dockerfile.v0", args: { target: "a" } } };

test("RequestRegistry.find() tells who made a definition, without what led to the request", () => {
  const registry = new RequestRegistry();
  using _one = registry.register(definition("a"), { ...request, request: { ...request.request, root: request } });
  assert.deepEqual(registry.find(definition("a")), request);
  assert.equal(registry.find(definition("b")), undefined);
  assert.equal(registry.find(create(opspb.DefinitionSchema)), undefined);
});

test("RequestRegistry.find() tells nothing where two requests made the same, and forgets both in the end", () => {
  const registry = new RequestRegistry();
  const one = registry.register(definition("a"), request);
  using _same = registry.register(definition("a"), request);
  assert.deepEqual(registry.find(definition("a")), request);
  const other = registry.register(definition("a"), { configSource: {}, request: { frontend: "other" } });
  assert.equal(registry.find(definition("a")), undefined);
  other[Symbol.dispose]();
  one[Symbol.dispose]();
  assert.deepEqual(registry.find(definition("a")), request);
});
