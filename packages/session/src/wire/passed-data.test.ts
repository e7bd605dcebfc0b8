import assert from "node:assert/strict";
import { test } from "node:test";
import { PassedData } from "./passed-data.ts";

test("PassedData forgets streams that have ended, and knows no stream any more once too many were left open", () => {
  const data = new PassedData();
  for (let id = 1; id < 100_000; id += 2) {
    data.add(id, 5);
    data.end(id);
  }
  data.add(1, 5);
  data.add(1, 6);
  assert.equal(data.bytesOf(1), 11);
  assert.equal(data.bytesOf(3), 0);
  for (let id = 3; id < 50_000; id += 2) data.add(id, 1);
  assert.equal(data.bytesOf(1), undefined);
  data.end(1);
  assert.equal(data.bytesOf(50_001), undefined);
});
