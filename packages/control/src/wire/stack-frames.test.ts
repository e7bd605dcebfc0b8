import assert from "node:assert/strict";
import { test } from "node:test";
import { stackFrames } from "./stack-frames.ts";

test("a stack's calls are told with file and line", () => {
  const stack = `BuildError: no such file
    with a second line
    at GraphJob.build (file:///app/solver/job.ts:12:9)
    at async Promise.all (index 0)
    at async solve (/app/bridge.mjs:7:1)
    at async file:///app/main.ts:3:4
    at node:internal/main:30:5`;
  assert.deepEqual(stackFrames(stack), [
    { Name: "GraphJob.build", File: "/app/solver/job.ts", Line: 12 },
    { Name: "solve", File: "/app/bridge.mjs", Line: 7 },
    { Name: "<anonymous>", File: "/app/main.ts", Line: 3 },
    { Name: "<anonymous>", File: "node:internal/main", Line: 30 },
  ]);
  assert.deepEqual(stackFrames(""), []);
});
