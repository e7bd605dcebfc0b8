import assert from "node:assert/strict";
import { test } from "node:test";
import { type BridgeRef, type BridgeResult, emptyResult } from "../bridge/bridge-ref.ts";
import { platformWarnings } from "./platform-warnings.ts";

const ref = {} as BridgeRef;

function result(platforms: readonly string[] | undefined, refs: readonly string[] = []): BridgeResult {
  const Platforms = (platforms ?? []).map((ID) => {
    const [os, architecture] = ID.split("/");
    return { ID, Platform: { os, architecture } };
  });
  const mapping = Buffer.from(JSON.stringify({ Platforms }));
  return {
    ...emptyResult,
    ...(refs.length === 0 ? { ref } : { refs: new Map(refs.map((id) => [id, ref])) }),
    metadata: new Map(platforms === undefined ? [] : [["refs.platforms", mapping]]),
  };
}

for (const [what, given, platform, expected] of [
  ["nothing, for what was asked for", result(["linux/arm64"]), "linux/arm64", []],
  ["nothing, for an empty result", emptyResult, "linux/s390x", []],
  [
    "of a single result for several platforms",
    result(undefined),
    "linux/amd64,linux/arm64",
    ["Multiple platforms requested but result is not multi-platform"],
  ],
  [
    "of another platform",
    result(["linux/s390x"]),
    "linux/arm64",
    ['Requested platform "linux/arm64" does not match result platform "linux/s390x"'],
  ],
  [
    "of more platforms than were asked for",
    result(["linux/amd64", "linux/arm64"], ["linux/amd64", "linux/arm64"]),
    "linux/amd64",
    ["Requested platforms linux/amd64 do not match result platforms linux/amd64,linux/arm64"],
  ],
  [
    "of a platform that is asked for twice",
    result(undefined),
    "linux/arm64,linux/arm64",
    ['Duplicate platform result requested "linux/arm64"'],
  ],
] as const) {
  test(`platformWarnings() tells ${what}`, () => {
    assert.deepEqual(platformWarnings(given, { platform }), expected);
  });
}

test("platformWarnings() refuses refs by platform of which nothing says the platforms", () => {
  assert.throws(() => platformWarnings(result(undefined, ["a"]), {}), /multiple refs without platforms mapping/);
});
