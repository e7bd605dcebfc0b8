import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { controlpb } from "@buildkit-ts/api";
import { type BuildRequest, readBuildRequest } from "./build-request.ts";

function read(...exports: readonly (readonly [string, Record<string, string>])[]): BuildRequest {
  const Cache = { Exports: exports.map(([Type, Attrs]) => ({ Type, Attrs })) };
  return readBuildRequest(create(controlpb.SolveRequestSchema, { Ref: "r", Cache }));
}

test("a cache is exported once to each place, and inline once however often that is said", () => {
  const max = { ref: "a/b", mode: "max" };
  assert.throws(() => read(["registry", max], ["registry", { ref: "a/b", mode: "min" }]), {
    message: "duplicate cache exports [registry]",
  });
  assert.throws(() => read(["local", { dest: "x" }], ["local", { dest: "x" }]), {
    message: "duplicate cache exports [local]",
  });
  const types = ({ cacheExports }: BuildRequest): string[] => cacheExports.map(({ type }) => type);
  assert.deepEqual(types(read(["inline", {}], ["registry", max], ["inline", {}])), ["inline", "registry"]);
  assert.deepEqual(types(read(["registry", max], ["registry", { ...max, ref: "a/c" }])), ["registry", "registry"]);
});
