import assert from "node:assert/strict";
import { test } from "node:test";
import { resolveUser } from "./container-user.ts";

const files = {
  passwd: "# people\nroot:x:0:0:root:/root:/bin/sh\nbob:x:1001:1002::/:/bin/sh\nodd:x:7\n",
  group: "root:x:0:\nwheel:x:10:root,bob\nbob:x:1002:\nextra:x:1003:alice,bob\n",
};

for (const [spec, uid, gid, groups] of [
  ["", 0, 0, [0, 10]],
  ["0:5", 0, 5, [5]],
  ["root:root", 0, 0, [0]],
  ["bob", 1001, 1002, [1002, 10, 1003]],
  ["1001", 1001, 1002, [1002, 10, 1003]],
  ["4242", 4242, 0, [0]],
  ["bob:extra", 1001, 1003, [1003]],
  ["bob:77", 1001, 77, [77]],
  ["odd", 7, 0, [0]],
] as const) {
  test(`resolveUser() finds "${spec}"`, () => {
    assert.deepEqual(resolveUser(spec, files), { uid, gid, additionalGids: groups });
  });
}

test("resolveUser() names what it cannot find", () => {
  assert.throws(() => resolveUser("eve", files), {
    message: "unable to find user eve: no matching entries in passwd file",
  });
  assert.throws(() => resolveUser("bob:eve", files), {
    message: "unable to find group eve: no matching entries in group file",
  });
  assert.throws(() => resolveUser("99999999999", files), { code: "invalid_argument" });
});

test("resolveUser() makes root of nobody in particular, also without files", () => {
  const none = { passwd: undefined, group: undefined };
  assert.deepEqual(resolveUser("", none), { uid: 0, gid: 0, additionalGids: [0] });
  assert.deepEqual(resolveUser("12", none), { uid: 12, gid: 0, additionalGids: [0] });
});
