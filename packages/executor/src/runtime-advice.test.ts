import assert from "node:assert/strict";
import { test } from "node:test";
import { runtimeAdvice } from "./runtime-advice.ts";

test("runtimeAdvice() tells of releases of runc that lack fixes, each line by its own", () => {
  for (const [version, wanted] of [
    ["1.1.5+ds1", "1.2.8"],
    ["1.1.12", "1.2.8"],
    ["1.2.7", "1.2.8"],
    ["1.3.2", "1.3.3"],
    ["1.0.0-rc93", "1.2.8"],
  ] as const)
    assert.match(
      runtimeAdvice(`runc version ${version}\ncommit: x\nspec: 1.0.2-dev\n`) ?? "",
      new RegExp(`older than ${wanted}`),
    );
  for (const version of ["1.2.8", "1.3.3", "1.3.10", "1.4.0", "1.5.0", "2.0.0"])
    assert.equal(runtimeAdvice(`runc version ${version}\n`), undefined, version);
  for (const text of ["crun version 1.8.1\ncommit: x\n", "", "something else"])
    assert.equal(runtimeAdvice(text), undefined);
});
