import assert from "node:assert/strict";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { FileSync } from "@buildkit-ts/api/buildkit/filesync";
import { StatSchema } from "@buildkit-ts/api/fsutil/stat";
import { fileHeaderHash } from "@buildkit-ts/tar";
import type { FileStat } from "./fsutil/file-stat.ts";
import { goMode } from "./fsutil/file-stat.ts";
import { PacketWriter } from "./fsutil/packet-writer.ts";
import { comparePaths } from "./fsutil/path-order.ts";
import { receiveFiles } from "./receive-files.ts";
import { shareDirectories } from "./serving/file-sync.ts";
import { openTestSession } from "./testing/open-test-session.ts";

const { signal } = new AbortController();

interface Folders extends Disposable {
  readonly source: string;
  readonly destination: string;
  readonly root: string;
}

function makeFolders(): Folders {
  const root = mkdtempSync(join(tmpdir(), "receive-files-"));
  const [source, destination] = [join(root, "source"), join(root, "destination")];
  mkdirSync(source);
  mkdirSync(destination);
  return { root, source, destination, [Symbol.dispose]: () => rmSync(root, { recursive: true }) };
}

function namesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).toSorted(comparePaths);
}

function listedPaths(path: string): string[] {
  const paths: string[] = [];
  for (let rest = readFileSync(path); rest.length > 0; ) {
    const length = rest.readUInt32LE(0);
    paths.push(fromBinary(StatSchema, rest.subarray(4, 4 + length)).path);
    rest = rest.subarray(4 + length);
  }
  return paths;
}

function fill(source: string): void {
  mkdirSync(join(source, "sub/deep"), { recursive: true });
  writeFileSync(join(source, "a"), "one", { mode: 0o640 });
  writeFileSync(join(source, "sub/b"), Buffer.alloc(700_000, 7));
  writeFileSync(join(source, "sub/deep/empty"), "");
  writeFileSync(join(source, "sub-x"), "sorted after the directory");
  linkSync(join(source, "a"), join(source, "link"));
  symlinkSync("../a", join(source, "sub/symlink"));
}

suite("receiveFiles()", () => {
  test("makes the destination equal to the source", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    fill(source);
    await using session = await openTestSession([shareDirectories({ context: source })]);
    const result = await receiveFiles(session.caller, { name: "context", destination }, { signal });
    assert.equal(result.entries, 8);
    assert.deepEqual(namesIn(destination), namesIn(source));
    assert.deepEqual(readFileSync(join(destination, "sub/b")), readFileSync(join(source, "sub/b")));
    assert.equal(readlinkSync(join(destination, "sub/symlink")), "../a");
    const original = statSync(join(source, "a"), { bigint: true });
    const copy = statSync(join(destination, "a"), { bigint: true });
    assert.equal(copy.mtimeNs, original.mtimeNs);
    assert.equal(copy.mode, original.mode);
    assert.equal(copy.ino, statSync(join(destination, "link"), { bigint: true }).ino);
  });

  test("asks only for what changed and deletes what is gone", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    fill(source);
    await using session = await openTestSession([shareDirectories({ context: source })]);
    await receiveFiles(session.caller, { name: "context", destination }, { signal });
    const kept = statSync(join(destination, "sub/b")).ino;
    writeFileSync(join(source, "a"), "two!");
    rmSync(join(source, "sub/deep"), { recursive: true });
    rmSync(join(source, "sub-x"));
    mkdirSync(join(source, "sub-x"));
    const result = await receiveFiles(session.caller, { name: "context", destination }, { signal });
    assert.deepEqual(
      result.changes.filter(({ path }) => path !== "link"),
      [
        { kind: "modify", path: "a" },
        { kind: "delete", path: "sub/deep" },
        { kind: "modify", path: "sub-x" },
      ],
    );
    assert.ok(result.bytes < 10_000, `${result.bytes} bytes came`);
    assert.equal(readFileSync(join(destination, "link"), "utf8"), "two!");
    assert.equal(statSync(join(destination, "sub/b")).ino, kept);
    assert.ok(statSync(join(destination, "sub-x")).isDirectory());
  });

  test("shares unchanged files with the tree before and leaves that as it is", async () => {
    using folders = makeFolders();
    const { root, source, destination } = folders;
    fill(source);
    await using session = await openTestSession([shareDirectories({ context: source })]);
    await receiveFiles(session.caller, { name: "context", destination }, { signal });
    writeFileSync(join(source, "sub-x"), "changed");
    rmSync(join(source, "a"));
    const next = join(root, "next");
    mkdirSync(next);
    await receiveFiles(session.caller, { name: "context", destination: next, previous: destination }, { signal });
    assert.equal(statSync(join(next, "sub/b")).ino, statSync(join(destination, "sub/b")).ino);
    assert.equal(readFileSync(join(next, "sub-x"), "utf8"), "changed");
    assert.equal(readFileSync(join(destination, "sub-x"), "utf8"), "sorted after the directory");
    assert.equal(readFileSync(join(destination, "a"), "utf8"), "one");
    assert.deepEqual(readdirSync(next).toSorted(comparePaths), ["link", "sub", "sub-x"]);
  });

  test("links nothing while nothing has changed, and all of it once something has", async () => {
    using folders = makeFolders();
    const { root, source, destination } = folders;
    fill(source);
    linkSync(join(source, "a"), join(source, "same"));
    await using session = await openTestSession([shareDirectories({ context: source })]);
    await receiveFiles(session.caller, { name: "context", destination }, { signal });
    const next = join(root, "next");
    mkdirSync(next);
    const request = { name: "context", destination: next, previous: destination };
    assert.deepEqual((await receiveFiles(session.caller, request, { signal })).changes, []);
    assert.deepEqual(readdirSync(next), []);
    writeFileSync(join(source, "zzz"), "last");
    const { changes } = await receiveFiles(session.caller, request, { signal });
    assert.deepEqual(changes, [{ kind: "add", path: "zzz" }]);
    assert.deepEqual(readdirSync(next, { recursive: true }).toSorted(), [
      ...readdirSync(destination, { recursive: true }).toSorted(),
      "zzz",
    ]);
    assert.equal(statSync(join(next, "same")).ino, statSync(join(next, "a")).ino);
    assert.equal(statSync(join(next, "sub")).mtimeMs, statSync(join(source, "sub")).mtimeMs);
  });

  test("asks for every file anew where metadata are not to be trusted", async () => {
    using folders = makeFolders();
    const { root, source, destination } = folders;
    fill(source);
    await using session = await openTestSession([shareDirectories({ context: source })]);
    const request = { name: "context", differ: "none" as const };
    const first = await receiveFiles(session.caller, { ...request, destination }, { signal });
    // Of the same size and time, so that only its bytes tell it from the one before.
    writeFileSync(join(destination, "sub-x"), "SORTED AFTER THE DIRECTORY");
    const { atime, mtime } = statSync(join(source, "sub-x"));
    utimesSync(join(destination, "sub-x"), atime, mtime);
    const next = join(root, "next");
    mkdirSync(next);
    const again = await receiveFiles(
      session.caller,
      { ...request, destination: next, previous: destination },
      { signal },
    );
    assert.equal(again.bytes, first.bytes);
    assert.equal(readFileSync(join(next, "sub-x"), "utf8"), "sorted after the directory");
    assert.notEqual(statSync(join(next, "sub/b")).ino, statSync(join(destination, "sub/b")).ino);
  });

  test("computes the digests of what came and of no other", async () => {
    using folders = makeFolders();
    const { root, source, destination } = folders;
    fill(source);
    chmodSync(join(source, "a"), 0o4751);
    await using session = await openTestSession([shareDirectories({ context: source })]);
    const request = { name: "context", destination, digests: true };
    const { digests = [] } = await receiveFiles(session.caller, request, { signal });
    for (const entry of digests) {
      if (entry.kind === "hardLink") assert.deepEqual([entry.path, entry.linkName], ["link", "a"]);
      else assert.equal(entry.digest, digestOnDisk(join(destination, entry.path)), entry.path);
    }
    assert.deepEqual(digests.map(({ path }) => path).toSorted(comparePaths), namesIn(destination));
    writeFileSync(join(source, "sub-x"), "changed");
    const next = join(root, "next");
    mkdirSync(next);
    const later = await receiveFiles(
      session.caller,
      { ...request, destination: next, previous: destination },
      { signal },
    );
    assert.deepEqual(
      later.digests?.map(({ kind, path }) => [kind, path]),
      [
        ["hardLink", "link"],
        ["file", "sub-x"],
      ],
    );
  });

  test("sends patterns apart, also those with commas and other letters", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    for (const name of ["a,b", "größe", "keep", "a", "b"]) writeFileSync(join(source, name), name);
    await using session = await openTestSession([shareDirectories({ context: source })]);
    const excludePatterns = ["a,b", "größe", ...Array.from({ length: 300 }, (_unused, index) => `unused-${index}`)];
    await receiveFiles(session.caller, { name: "context", destination, excludePatterns }, { signal });
    assert.deepEqual(namesIn(destination), ["a", "b", "keep"]);
  });

  test("receives only the files that are asked for, and a list of all", async () => {
    using folders = makeFolders();
    const { root, source, destination } = folders;
    fill(source);
    mkdirSync(join(source, "empty"));
    await using session = await openTestSession([shareDirectories({ context: source })]);
    const request = { name: "context", onlyMatching: ["sub/b", "a", "link"] };
    const { entries } = await receiveFiles(session.caller, { ...request, destination }, { signal });
    assert.deepEqual(namesIn(destination), [".fsutil-metadata", "a", "link", "sub", "sub/b"]);
    assert.equal(readFileSync(join(destination, "link"), "utf8"), "one");
    const listed = listedPaths(join(destination, ".fsutil-metadata"));
    assert.deepEqual(listed, namesIn(source));
    assert.equal(entries, listed.length);
    const next = { ...request, destination: join(root, "next"), previous: destination };
    mkdirSync(next.destination);
    assert.deepEqual((await receiveFiles(session.caller, next, { signal })).changes, []);
    // A file that is not received changes the list and nothing else.
    writeFileSync(join(source, "sub-x"), "of another size");
    const { changes } = await receiveFiles(session.caller, next, { signal });
    assert.deepEqual(changes, [{ kind: "modify", path: ".fsutil-metadata" }]);
    assert.deepEqual(namesIn(next.destination), [".fsutil-metadata", "a", "link", "sub", "sub/b"]);
    assert.equal(statSync(join(next.destination, "sub/b")).ino, statSync(join(destination, "sub/b")).ino);
  });

  test("receives a second name of a file that is not asked for as a file", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    fill(source);
    await using session = await openTestSession([shareDirectories({ context: source })]);
    await receiveFiles(session.caller, { name: "context", onlyMatching: ["link"], destination }, { signal });
    assert.equal(readFileSync(join(destination, "link"), "utf8"), "one");
  });

  test("follows links into include patterns", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    mkdirSync(join(source, "real"));
    writeFileSync(join(source, "real/Dockerfile"), "FROM scratch");
    writeFileSync(join(source, "real/other"), "");
    symlinkSync("real/Dockerfile", join(source, "Dockerfile"));
    await using session = await openTestSession([shareDirectories({ dockerfile: source })]);
    const followPaths = ["Dockerfile", "Dockerfile.dockerignore"];
    await receiveFiles(session.caller, { name: "dockerfile", destination, followPaths }, { signal });
    assert.deepEqual(namesIn(destination), ["Dockerfile", "real", "real/Dockerfile"]);
  });
});

suite("receiveFiles() from a client that misbehaves", () => {
  test("fails with what the client says of a directory that it does not share", async () => {
    using folders = makeFolders();
    await using session = await openTestSession([shareDirectories({})]);
    const request = { name: "secret", destination: folders.destination };
    await assert.rejects(receiveFiles(session.caller, request, { signal }), {
      code: "not_found",
      message: 'no access allowed to dir "secret"',
    });
  });

  test("never writes through a link of a hostile client", async () => {
    using folders = makeFolders();
    const { root, destination } = folders;
    const outside = join(root, "outside");
    mkdirSync(outside);
    symlinkSync(outside, join(destination, "old"));
    const stat = (path: string, mode: number, linkName = ""): FileStat => ({
      path,
      mode,
      linkName,
      uid: 0,
      gid: 0,
      size: 1,
      modTime: 1n,
      devMajor: 0,
      devMinor: 0,
      xattrs: undefined,
    });
    const trees = [
      [stat("link", goMode.symlink + 0o777, outside), stat("link/x", 0o644)],
      [stat("old", goMode.directory + 0o755), stat("old/x", goMode.symlink + 0o777, "y")],
      [stat("x", 0o644, "../outside")],
      [stat("../outside/x", goMode.directory + 0o755)],
    ];
    for (const entries of trees) {
      await using session = await openTestSession([
        (server) =>
          server.handleStream(FileSync.method.diffCopy, async (stream) => {
            const writer = new PacketWriter();
            for (const entry of entries) writer.stat(entry);
            writer.stat(undefined);
            stream.write(writer.take());
            for await (const _chunk of stream) writer.take();
          }),
      ]);
      const attempt = receiveFiles(
        session.caller,
        { name: "context", destination },
        { signal: AbortSignal.timeout(2000) },
      );
      await attempt.catch(() => undefined);
      assert.deepEqual(readdirSync(outside), []);
    }
    assert.ok(lstatSync(join(destination, "old")).isDirectory());
  });

  test("ends when the client goes", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    writeFileSync(join(source, "a"), "x");
    utimesSync(join(source, "a"), 1, 1);
    const session = await openTestSession([
      (server) =>
        server.handleStream(FileSync.method.diffCopy, async (_stream, context) => {
          await new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve()));
        }),
    ]);
    const pending = receiveFiles(session.caller, { name: "context", destination }, { signal });
    await Promise.all([assert.rejects(pending, { code: "unavailable" }), session[Symbol.asyncDispose]()]);
  });
});

function digestOnDisk(path: string): string {
  const { mode, uid, gid, size } = lstatSync(path);
  const linkname = lstatSync(path).isSymbolicLink() ? readlinkSync(path) : "";
  const hash = fileHeaderHash({ mode, uid, gid, sizeBytes: size, linkname });
  if (lstatSync(path).isFile()) hash.update(readFileSync(path));
  return `sha256:${hash.digest("hex")}`;
}
