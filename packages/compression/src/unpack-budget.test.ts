import assert from "node:assert/strict";
import { test } from "node:test";
import { UnpackBudget } from "./unpack-budget.ts";

test("UnpackBudget allows what is in proportion, and small archives anything within the allowance", () => {
  const limits = { maxRatio: 10, allowanceBytes: 1000, maxEntries: 3 };
  const small = new UnpackBudget(limits, 1);
  small.addBytes(1000);
  assert.throws(() => small.addBytes(1), { code: "resource_exhausted", message: /larger than 1000 bytes/ });
  const large = new UnpackBudget(limits, 500);
  large.addBytes(5000);
  assert.throws(() => large.addBytes(1), { code: "resource_exhausted", message: /more than 10 times its size/ });
  for (let entry = 0; entry < 3; entry += 1) large.addEntry();
  assert.throws(() => large.addEntry(), { code: "resource_exhausted", message: /more than 3 entries/ });
});

test("UnpackBudget has no limit where that is 0", () => {
  const budget = new UnpackBudget({ maxRatio: 0, allowanceBytes: 0, maxEntries: 0 }, 0);
  budget.addBytes(Number.MAX_SAFE_INTEGER);
  budget.addEntry();
});
