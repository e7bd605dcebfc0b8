import assert from "node:assert/strict";
import { test } from "node:test";
import { isPassing } from "./retry-policy.ts";

test("isPassing() waits out what servers say when they are busy or broken, and takes refusals as they are", () => {
  for (const status of [408, 425, 429, 500, 502, 503, 504, 521]) assert.equal(isPassing(status), true, String(status));
  for (const status of [200, 206, 304, 400, 401, 403, 404, 405, 416, 501])
    assert.equal(isPassing(status), false, String(status));
});
