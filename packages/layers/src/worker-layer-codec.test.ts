import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  linkSync,
  lstatSync,
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
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Mount } from "@buildkit-ts/mount";
import { withMounts } from "@buildkit-ts/mount";
import type { DiffId } from "@buildkit-ts/oci";
import { AT_FDCWD, findXattr, mknodAt, S_IFCHR, S_IFIFO, setXattr, utimesAt } from "@buildkit-ts/sys";
import { encodeTarHeader, type TarHeader, tarEnd, tarPadding } from "@buildkit-ts/tar";
import type { MadeLayer, MakeLayerOptions } from "./layers.ts";
import { WorkerLayerCodec } from "./worker-layer-codec.ts";

const root = mkdtempSync(join(tmpdir(), "layers-"));
const codec = new WorkerLayerCodec();
after(async () => {
  await codec[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
});
const { signal } = new AbortController();
const isRoot = process.getuid?.() === 0 ? false : "needs root";

let counter = 0;
function fresh(): string {
  counter += 1;
  const path = join(root, String(counter));
  mkdirSync(path);
  return path;
}

function bind(source: string): Mount[] {
  return [{ type: "bind", source, options: ["rbind", "ro"] }];
}

async function make(
  lower: Mount[] | undefined,
  upper: Mount[],
  extra: Partial<MakeLayerOptions> & { upperDir?: string } = {},
): Promise<MadeLayer & { path: string }> {
  const path = join(fresh(), "layer");
  const compression = { type: "uncompressed", ociMediaTypes: true } as const;
  return { path, ...(await codec.make(lower, upper, { signal, compression, outputPath: path, ...extra })) };
}

function setTime(path: string, seconds: number): void {
  const ns = BigInt(seconds) * 1_000_000_000n;
  utimesAt({ fd: AT_FDCWD, path }, { accessNs: ns, modificationNs: ns });
}

/** Files of many kinds, with owners, modes and times that do not depend on the machine. */
function fillTree(directory: string): void {
  mkdirSync(join(directory, "etc/deep/er"), { recursive: true });
  writeFileSync(join(directory, "etc/passwd"), "root:x:0:0\n");
  writeFileSync(join(directory, "etc/deep/er/ünï"), "x".repeat(3000));
  writeFileSync(join(directory, "big"), Buffer.alloc(2_500_000, "0123456789"));
  linkSync(join(directory, "big"), join(directory, "etc/hard"));
  symlinkSync("deep/er", join(directory, "etc/link"));
  mkdirSync(join(directory, "d/".repeat(80)), { recursive: true });
  writeFileSync(join(directory, "n".repeat(150)), "");
  mknodAt({ fd: AT_FDCWD, path: join(directory, "null") }, S_IFCHR | 0o666, { major: 1, minor: 3 });
  mknodAt({ fd: AT_FDCWD, path: join(directory, "pipe") }, S_IFIFO | 0o644, { major: 0, minor: 0 });
  chownSync(join(directory, "etc/passwd"), 1000, 3_000_000);
  chmodSync(join(directory, "etc/passwd"), 0o4755);
  setXattr(
    join(directory, "big"),
    "security.capability",
    Buffer.from("0100000200040000000000000000000000000000", "hex"),
  );
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" }).toReversed()) {
    const path = join(directory, name);
    if (lstatSync(path).isSymbolicLink()) lchownSync(path, 0, 0);
    else chmodSync(path, lstatSync(path).mode & 0o7777 & ~0o022);
    setTime(path, 1_700_000_000 + name.length);
  }
}

/** What a tree shows, but for the times of `skipTimes`. */
function snapshot(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .toSorted()
    .map((name) => {
      const path = join(directory, name);
      const s = lstatSync(path);
      const content = s.isFile() ? createHash("sha256").update(readFileSync(path)).digest("hex") : "";
      const capability = s.isFile() ? findXattr(path, "security.capability")?.toString("hex") : "";
      return [name, s.mode, s.uid, s.gid, s.rdev, s.mtimeMs, s.isDirectory() ? 0 : s.nlink, content, capability].join(
        " ",
      );
    });
}

function namesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).toSorted();
}

test("a layer has the DiffID that containerd gives the same tree", { skip: isRoot }, async () => {
  const tree = fresh();
  fillTree(tree);
  const walked = await make(undefined, bind(tree));
  assert.equal(walked.diffId, "sha256:e722d782531cb491f09c05496359947eed30eb2a4013d68bd800131d7a179502");
  assert.equal(walked.descriptor.digest, walked.diffId);
  const upper = await make(undefined, [], { upperDir: tree });
  assert.equal(upper.diffId, walked.diffId);
});

test("the digest of a layer is that of its file, and a compression does not change the DiffID", {
  skip: isRoot,
}, async () => {
  const tree = fresh();
  fillTree(tree);
  const plain = await make(undefined, bind(tree));
  for (const type of ["gzip", "zstd"] as const) {
    const packed = await make(undefined, bind(tree), { compression: { type, ociMediaTypes: false } });
    const bytes = readFileSync(packed.path);
    assert.equal(packed.diffId, plain.diffId);
    assert.equal(packed.descriptor.size, bytes.length);
    assert.equal(packed.descriptor.digest, `sha256:${createHash("sha256").update(bytes).digest("hex")}`);
    assert.equal(packed.descriptor.mediaType, `application/vnd.docker.image.rootfs.diff.tar.${type}`);
    const again = await codec.recompress(plain.path, "", {
      signal,
      compression: { type, ociMediaTypes: false },
      outputPath: join(fresh(), "l"),
    });
    assert.deepEqual(again, { diffId: packed.diffId, descriptor: packed.descriptor });
  }
});

test("unpacking a layer gives the tree back", { skip: isRoot }, async () => {
  const tree = fresh();
  fillTree(tree);
  const layer = await make(undefined, bind(tree), { compression: { type: "zstd", ociMediaTypes: true } });
  for (const form of ["overlay-upper", "merged"] as const) {
    const directory = fresh();
    const blob = { path: layer.path, mediaType: layer.descriptor.mediaType };
    const applied = await codec.apply(blob, { directory, form }, { signal, expected: layer.diffId });
    assert.equal(applied.diffId, layer.diffId);
    assert.deepEqual(snapshot(directory), snapshot(tree));
  }
});

test("an overlay upper directory gives the same layer as comparing the mounted trees", { skip: isRoot }, async () => {
  const [lower, upper, work] = [fresh(), fresh(), fresh()];
  for (const name of ["opaque/sub", "gone", "keep", "dir-to-file"]) mkdirSync(join(lower, name), { recursive: true });
  for (const name of ["opaque/a", "opaque/sub/b", "gone/c", "keep/d", "keep/e", "dir-to-file/f", "file-to-dir"]) {
    writeFileSync(join(lower, name), name);
  }
  const overlay: Mount = {
    type: "overlay",
    source: "overlay",
    options: [`lowerdir=${lower}`, `upperdir=${upper}`, `workdir=${work}`],
  };
  await withMounts([overlay], { signal }, async (path) => {
    for (const name of ["opaque", "gone", "dir-to-file", "file-to-dir", "keep/d"])
      rmSync(join(path, name), { recursive: true });
    mkdirSync(join(path, "opaque/sub"), { recursive: true });
    writeFileSync(join(path, "opaque/sub/new"), "new");
    writeFileSync(join(path, "dir-to-file"), "file");
    mkdirSync(join(path, "file-to-dir"));
    writeFileSync(join(path, "file-to-dir/g"), "g");
    writeFileSync(join(path, "temporary"), "");
    rmSync(join(path, "temporary"));
    await Promise.resolve();
  });
  const view: Mount = { type: "overlay", source: "overlay", options: [`lowerdir=${upper}:${lower}`] };
  const fast = await make(bind(lower), [view], { upperDir: upper });
  const slow = await make(bind(lower), [view]);
  assert.equal(fast.diffId, slow.diffId);
  const names = execFileSync("tar", ["tf", fast.path]).toString().trim().split("\n");
  assert.deepEqual(
    names,
    [
      "dir-to-file",
      "file-to-dir/",
      "file-to-dir/g",
      ".wh.gone",
      "keep/",
      "keep/.wh.d",
      "opaque/",
      "opaque/.wh.a",
      "opaque/sub/",
      "opaque/sub/.wh.b",
      "opaque/sub/new",
    ].toSorted((a, b) => order(a) - order(b)),
  );

  const target = fresh();
  const below = await make(undefined, bind(lower));
  for (const layer of [below, fast]) {
    await codec.apply({ path: layer.path, mediaType: "" }, { directory: target, form: "merged" }, { signal });
  }
  const seen = await withMounts([view], { signal }, (path) => Promise.resolve(namesBelow(path)));
  assert.deepEqual(namesBelow(target), seen);
});

/** `gone` sorts by its own name, not by that of its whiteout. */
function order(name: string): number {
  const keys = [
    "dir-to-file",
    "file-to-dir/",
    "file-to-dir/g",
    ".wh.gone",
    "keep/",
    "keep/.wh.d",
    "opaque/",
    "opaque/.wh.a",
  ];
  const index = keys.indexOf(name);
  return index < 0 ? keys.length + ["opaque/sub/", "opaque/sub/.wh.b", "opaque/sub/new"].indexOf(name) : index;
}

test("an upper directory with redirects is compared by its mounted trees", { skip: isRoot }, async () => {
  const upper = fresh();
  mkdirSync(join(upper, "moved"));
  setXattr(join(upper, "moved"), "trusted.overlay.redirect", Buffer.from("old"));
  const tree = fresh();
  writeFileSync(join(tree, "seen"), "");
  const layer = await make(undefined, bind(tree), { upperDir: upper });
  assert.deepEqual(execFileSync("tar", ["tf", layer.path]).toString(), "seen\n");
});

test("sourceDateEpoch clamps times, whether the layer is made or made anew", { skip: isRoot }, async () => {
  const tree = fresh();
  fillTree(tree);
  const options = { sourceDateEpoch: 1_700_000_010 };
  const clamped = await make(undefined, bind(tree), options);
  const plain = await make(undefined, bind(tree));
  const again = await codec.recompress(plain.path, "", {
    signal,
    compression: { type: "uncompressed", ociMediaTypes: true },
    outputPath: join(fresh(), "l"),
    ...options,
  });
  assert.notEqual(plain.diffId, clamped.diffId);
  assert.equal(again.diffId, clamped.diffId);
});

interface Entry extends Partial<TarHeader> {
  readonly name: string;
  readonly content?: string;
}

function archive(...entries: Entry[]): string {
  const blocks = entries.flatMap(({ content = "", ...header }) => {
    const base = { type: "file", mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 1 } as const;
    const padding = Buffer.alloc(tarPadding(content.length));
    return [encodeTarHeader({ ...base, ...header, size: content.length }), Buffer.from(content), padding];
  });
  const path = join(fresh(), "blob");
  writeFileSync(path, gzipSync(Buffer.concat([...blocks, tarEnd])));
  return path;
}

async function unpack(path: string, directory: string, form: "overlay-upper" | "merged" = "merged"): Promise<void> {
  await codec.apply({ path, mediaType: "" }, { directory, form }, { signal });
}

test("no entry leaves the target", { skip: isRoot }, async () => {
  const outside = fresh();
  writeFileSync(join(outside, "secret"), "secret");
  const target = fresh();
  await unpack(
    archive(
      { name: "../../up", content: "1" },
      { name: "/absolute", content: "2" },
      { name: "escape", type: "symlink", linkName: outside },
      { name: "escape/in", content: "3" },
      { name: "dotdot", type: "symlink", linkName: "../../../../../.." },
      { name: `dotdot${outside}/secret`, content: "4" },
      { name: "escape/.wh.secret" },
      { name: "self", type: "symlink", linkName: "/absolute" },
      { name: "self", content: "5" },
    ),
    target,
  );
  assert.deepEqual(readdirSync(outside), ["secret"]);
  assert.equal(readFileSync(join(outside, "secret"), "utf8"), "secret");
  assert.equal(readFileSync(join(target, "up"), "utf8"), "1");
  assert.equal(readFileSync(join(target, "absolute"), "utf8"), "2");
  assert.equal(readFileSync(join(target, "self"), "utf8"), "5");
  assert.equal(readFileSync(join(target, outside, "in"), "utf8"), "3");
});

test("hard links reach nothing outside the target", { skip: isRoot }, async () => {
  const outside = fresh();
  writeFileSync(join(outside, "secret"), "secret");
  for (const linkName of [
    join(outside, "secret"),
    `${"../".repeat(9)}${join(outside, "secret").slice(1)}`,
    "out/secret",
  ]) {
    const blob = archive(
      { name: "out", type: "symlink", linkName: outside },
      { name: "copy", type: "hardlink", linkName },
    );
    await assert.rejects(unpack(blob, fresh()), { code: "invalid_argument" });
  }
});

test("whiteouts that would name a directory itself are refused", { skip: isRoot }, async () => {
  for (const name of [".wh.", ".wh..", ".wh...", "a/.wh.."]) {
    await assert.rejects(unpack(archive({ name }), fresh()), { code: "invalid_argument" }, name);
  }
});

test("an opaque mark spares what its own layer brings, wherever it stands", { skip: isRoot }, async () => {
  const target = fresh();
  mkdirSync(join(target, "d/sub"), { recursive: true });
  for (const name of ["d/old", "d/sub/old", "d/new"]) writeFileSync(join(target, name), "lower");
  const entries: Entry[] = [
    { name: "d/", type: "directory", mode: 0o755 },
    { name: "d/sub/", type: "directory", mode: 0o755 },
    { name: "d/sub/fresh", content: "x" },
    { name: "d/new", content: "x" },
  ];
  await unpack(archive(...entries, { name: "d/.wh..wh..opq" }), target);
  assert.deepEqual(namesBelow(join(target, "d")), ["new", "sub", "sub/fresh"]);

  const upper = fresh();
  await unpack(archive(...entries, { name: "d/.wh..wh..opq" }, { name: ".wh.gone" }), upper, "overlay-upper");
  assert.equal(findXattr(join(upper, "d"), "trusted.overlay.opaque")?.toString(), "y");
  assert.equal(lstatSync(join(upper, "gone")).rdev, 0);
  assert.ok(lstatSync(join(upper, "gone")).isCharacterDevice());
});

test("a whiteout and a directory of one name give an opaque directory, in either order", { skip: isRoot }, async () => {
  const directory: Entry = { name: "d/", type: "directory", mode: 0o755 };
  for (const entries of [
    [{ name: ".wh.d" }, directory],
    [directory, { name: ".wh.d" }],
  ]) {
    const upper = fresh();
    await unpack(archive(...entries), upper, "overlay-upper");
    assert.equal(findXattr(join(upper, "d"), "trusted.overlay.opaque")?.toString(), "y");
  }
});

test("directories that a layer does not have get the attributes they have below", { skip: isRoot }, async () => {
  const [lower, upper] = [fresh(), fresh()];
  mkdirSync(join(lower, "tmp"));
  chmodSync(join(lower, "tmp"), 0o1777);
  chownSync(join(lower, "tmp"), 7, 8);
  const target = { directory: upper, form: "overlay-upper", parents: [fresh(), lower] } as const;
  await codec.apply({ path: archive({ name: "tmp/f" }), mediaType: "" }, target, { signal });
  const { mode, uid, gid } = lstatSync(join(upper, "tmp"));
  assert.deepEqual([mode & 0o7777, uid, gid], [0o1777, 7, 8]);
});

test("later entries replace earlier ones of any kind", { skip: isRoot }, async () => {
  const target = fresh();
  await unpack(
    archive(
      { name: "x/a/b/c", content: "1" },
      { name: "x/a", content: "2" },
      { name: "x", type: "symlink", linkName: "y" },
      { name: "x/z", content: "3" },
      { name: "x", type: "directory", mode: 0o700 },
      { name: "x/w", type: "fifo" },
    ),
    target,
  );
  assert.deepEqual(namesBelow(target), ["x", "x/w", "y", "y/z"]);
});

test("archives cannot set overlay's own attributes", { skip: isRoot }, async () => {
  const upper = fresh();
  const xattrs = new Map([
    ["trusted.overlay.redirect", Buffer.from("/etc")],
    ["user.overlay.redirect", Buffer.from("/etc")],
    ["user.kept", Buffer.from("1")],
  ]);
  await unpack(archive({ name: "d/", type: "directory", mode: 0o755, xattrs }), upper, "overlay-upper");
  assert.equal(findXattr(join(upper, "d"), "trusted.overlay.redirect"), undefined);
  assert.equal(findXattr(join(upper, "d"), "user.overlay.redirect"), undefined);
});

test("a layer with another DiffID than expected, or damaged, is an error", { skip: isRoot }, async () => {
  const blob = { path: archive({ name: "f", content: "1" }), mediaType: "" };
  const expected = `sha256:${"0".repeat(64)}` as DiffId;
  await assert.rejects(codec.apply(blob, { directory: fresh(), form: "merged" }, { signal, expected }), {
    code: "data_loss",
  });
  writeFileSync(blob.path, gzipSync(Buffer.alloc(2000, "no tar")));
  await assert.rejects(codec.apply(blob, { directory: fresh(), form: "merged" }, { signal }), {
    code: "invalid_argument",
  });
  await assert.rejects(
    codec.apply({ ...blob, path: "/nonexistent" }, { directory: fresh(), form: "merged" }, { signal }),
    /ENOENT/,
  );
});

test("aborting stops the thread before the call returns", { skip: isRoot }, async () => {
  const tree = fresh();
  writeFileSync(join(tree, "big"), Buffer.alloc(64 << 20));
  const controller = new AbortController();
  const path = join(fresh(), "out");
  const making = make(undefined, bind(tree), {
    signal: controller.signal,
    outputPath: path,
    compression: { type: "gzip", level: 9, ociMediaTypes: true },
  });
  controller.abort(new Error("nobody wants it"));
  await assert.rejects(making, /nobody wants it/);
  const size = existsSync(path) ? lstatSync(path).size : 0;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(existsSync(path) ? lstatSync(path).size : 0, size);
});
