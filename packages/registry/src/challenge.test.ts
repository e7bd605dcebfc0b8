import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseChallenges } from "./challenge.ts";

test("parseChallenges reads several challenges and survives any text", () => {
  const [bearer, basic] = parseChallenges(
    'Bearer realm="https://a/t?x=1,2",service=s , scope="repository:a:pull,push", Basic realm="q\\"x"',
  );
  assert.deepEqual(
    [bearer?.scheme, bearer?.parameters.get("realm"), bearer?.parameters.get("scope")],
    ["bearer", "https://a/t?x=1,2", "repository:a:pull,push"],
  );
  assert.deepEqual([basic?.scheme, basic?.parameters.get("realm")], ["basic", 'q"x']);
  fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseChallenges(text))));
});
