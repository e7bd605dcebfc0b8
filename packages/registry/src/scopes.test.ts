import assert from "node:assert/strict";
import { test } from "node:test";
import { mergeScopes } from "./scopes.ts";

test("mergeScopes joins actions of one repository", () => {
  assert.deepEqual(
    mergeScopes(["repository:b:push,pull repository:a:pull", "repository:b:pull", "registry:catalog:*"]),
    ["registry:catalog:*", "repository:a:pull", "repository:b:pull,push"],
  );
});
