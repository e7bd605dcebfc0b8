import assert from "node:assert/strict";
import { test } from "node:test";
import { leadsThroughDescriptor } from "./descriptor-path.ts";

test("leadsThroughDescriptor() knows every path of an open file, and no other", () => {
  for (const path of ["/proc/self/fd/7", "/proc/thread-self/fd/3", "/proc/1/task/1/fd/9/etc", "/dev/fd/7"])
    assert.equal(leadsThroughDescriptor(path), true, path);
  for (const path of ["/", "/proc/self/cwd", "/dev/shm", "/data/proc/self/fd/7", "/proc/self/fd", "/proc/fd/1"])
    assert.equal(leadsThroughDescriptor(path), false, path);
});
