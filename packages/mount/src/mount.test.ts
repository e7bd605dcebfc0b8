import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { mountAll } from "./mount-all.ts";
import { parseMountInfo, readMountInfo } from "./mount-info.ts";
import { escapeOverlayPath, parseMountOptions, splitLowerDirectories } from "./mount-options.ts";
import { mountTemporarily, withMounts } from "./mount-temporarily.ts";
import { unmountAll, unmountBelow } from "./unmount.ts";

const skip = process.getuid?.() === 0 ? false : "mounting needs root";
const { signal } = new AbortController();

function makeRoot(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "mount-"));
  return {
    path,
    [Symbol.dispose]: () => {
      assert.deepEqual(
        readMountInfo().filter((mount) => mount.mountPoint.startsWith(path)),
        [],
      );
      rmSync(path, { recursive: true });
    },
  };
}

test("mountAll() mounts an overlay of more layers than fit into a page of options", { skip }, async () => {
  using root = makeRoot();
  const lower = Array.from({ length: 150 }, (_, index) =>
    join(root.path, `a-long-name-of-a-layer, with:odd\\signs-${index}`),
  );
  for (const [index, path] of lower.entries()) {
    mkdirSync(path);
    writeFileSync(join(path, `file-${index}`), "");
    writeFileSync(join(path, "top"), `${index}`);
  }
  for (const name of ["upper", "work", "target"]) mkdirSync(join(root.path, name));
  const target = join(root.path, "target");
  const options = [
    `lowerdir=${lower.map(escapeOverlayPath).join(":")}`,
    `upperdir=${join(root.path, "upper")}`,
    `workdir=${join(root.path, "work")}`,
  ];
  await mountAll([{ type: "overlay", source: "overlay", options }], target, { signal });
  try {
    assert.equal(readdirSync(target).length, 151);
    assert.equal(readFileSync(join(target, "top"), "utf8"), "0");
    writeFileSync(join(target, "new"), "");
  } finally {
    await unmountAll(target);
  }
  assert.deepEqual(readdirSync(join(root.path, "upper")), ["new"]);
});

test("mountTemporarily() makes read-only bind mounts that cannot be written to, and plain ones not at all", {
  skip,
}, async () => {
  using root = makeRoot();
  const bind = (option: string) => [{ type: "bind", source: root.path, options: ["rbind", option] }];
  const path = await withMounts(bind("ro"), { signal }, async (mounted) => {
    assert.throws(() => writeFileSync(join(mounted, "file"), ""), { code: "EROFS" });
    return mounted;
  });
  assert.equal(existsSync(path), false);
  await using plain = await mountTemporarily(bind("rw"), { signal });
  assert.equal(plain.path, root.path);
  await using read = await mountTemporarily(bind("ro"), { signal, onlyReads: true });
  assert.equal(read.path, root.path);
});

test("mountTemporarily() mounts a single file", { skip }, async () => {
  using root = makeRoot();
  const source = join(root.path, "file");
  writeFileSync(source, "content");
  await using mounted = await mountTemporarily([{ type: "bind", source, options: ["ro"] }], { signal });
  assert.equal(readFileSync(mounted.path, "utf8"), "content");
  assert.throws(() => writeFileSync(mounted.path, ""), { code: "EROFS" });
});

test("mountAll() resolves targets beneath the tree that is mounted and undoes all if one fails", { skip }, async () => {
  using root = makeRoot();
  mkdirSync(join(root.path, "tree/inner"), { recursive: true });
  mkdirSync(join(root.path, "target"));
  symlinkSync("/inner", join(root.path, "tree/link"));
  const target = join(root.path, "target");
  const tree = { type: "bind", source: join(root.path, "tree"), options: ["rbind"] };
  const tmpfs = { type: "tmpfs", source: "tmpfs", target: "/link", options: ["size=64k", "nosuid"] };
  await mountAll([tree, tmpfs], target, { signal });
  assert.equal(
    readMountInfo().some((mount) => mount.mountPoint === join(target, "inner") && mount.options.includes("nosuid")),
    true,
  );
  await unmountAll(target);
  const failing = { type: "nosuchfs", source: "x", options: [] };
  await assert.rejects(
    mountAll([tree, tmpfs, failing], target, { signal }),
    (error) =>
      error instanceof BuildError && error.code === "failed_precondition" && error.message.includes("nosuchfs"),
  );
});

test("unmountBelow() removes what a killed daemon left, deepest first, busy or not", { skip }, async () => {
  using root = makeRoot();
  mkdirSync(join(root.path, "a"));
  const tmpfs = { type: "tmpfs", source: "tmpfs", options: [] };
  await mountAll([tmpfs], root.path + "/a", { signal });
  mkdirSync(join(root.path, "a/b"));
  await mountAll([tmpfs, tmpfs], root.path + "/a/b", { signal });
  assert.deepEqual(await unmountBelow(root.path + "/a/b"), [], "a volume stays");
  const removed = await unmountBelow(root.path);
  assert.deepEqual(removed, [join(root.path, "a/b"), join(root.path, "a/b"), join(root.path, "a")]);
});

test("parseMountInfo() decodes escapes and optional fields", () => {
  const [mount] = parseMountInfo(
    "36 35 98:0 /mnt1 /mnt\\040two rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\nbroken\n",
  );
  assert.deepEqual(mount, {
    id: 36,
    parentId: 35,
    device: "98:0",
    root: "/mnt1",
    mountPoint: "/mnt two",
    options: ["rw", "noatime"],
    propagation: ["master:1", "shared:2"],
    type: "ext3",
    source: "/dev/root",
    superOptions: ["rw", "errors=continue"],
  });
});

test("parseMountOptions() separates flags, and the last one wins", () => {
  assert.deepEqual(parseMountOptions(["ro", "nosuid", "rw", "size=1k"]), { flags: 2, data: ["size=1k"] });
  assert.deepEqual(splitLowerDirectories("/a\\:b:/c\\\\"), ["/a:b", "/c\\"]);
});
