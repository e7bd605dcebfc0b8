import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { controlpb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { timestampOf } from "../wire/timestamps.ts";
import { compileHistoryFilter } from "./history-filter.ts";

const now = 1_700_000_000_000;
const record = create(controlpb.BuildHistoryRecordSchema, {
  Ref: "abc123",
  FrontendAttrs: { "vcs:source": "https://example.org/repo.git" },
  CreatedAt: timestampOf(now - 3_600_000),
  CompletedAt: timestampOf(now - 3_540_000),
});

const cases: readonly (readonly [filters: string[], expected: boolean])[] = [
  [[], true],
  [[""], true],
  [["ref==abc123"], true],
  [["ref!=abc123"], false],
  [["ref~=^abc"], true],
  [["status==completed"], true],
  [["status==error"], false],
  [["status==error", "ref==abc123"], true],
  [["status==completed,ref==other"], false],
  [['repository=="https://example.org/repo.git"'], true],
  [["startedAt>2h"], true],
  [["startedAt>30m"], false],
  [["duration>=1m"], true],
  [["duration<30s"], false],
  [["completedAt>2023-01-01T00:00:00Z"], true],
];

for (const [filters, expected] of cases) {
  test(`compileHistoryFilter() of ${JSON.stringify(filters)} ${expected ? "takes" : "leaves"} the record`, () => {
    assert.equal(compileHistoryFilter(filters, now)(record), expected);
  });
}

for (const bad of ["nonsense", "ref", "size==3", "startedAt==1h", "duration>soon"]) {
  test(`compileHistoryFilter() refuses ${JSON.stringify(bad)} by name`, () => {
    assert.throws(
      () => compileHistoryFilter([bad], now),
      (error: unknown) =>
        error instanceof BuildError && error.code === "invalid_argument" && error.message.includes(bad),
    );
  });
}

test("compileHistoryFilter() refuses an expression that is none, and ends one that would run forever", () => {
  assert.throws(() => compileHistoryFilter(["ref~=("], now), BuildError);
  const hostile = compileHistoryFilter(["ref~=^(a|a)*$"], now);
  const long = create(controlpb.BuildHistoryRecordSchema, { Ref: `${"a".repeat(60)}!` });
  assert.throws(() => hostile(long), BuildError);
});
