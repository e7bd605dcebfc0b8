import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { FileSync } from "@buildkit-ts/api/buildkit/filesync";
import { findXattr, setXattr } from "@buildkit-ts/sys";
import { goMode } from "./fsutil/file-stat.ts";
import { sendTree } from "./fsutil/send-tree.ts";
import { walkTree } from "./fsutil/walk-tree.ts";
import { receiveFiles } from "./receive-files.ts";
import { shareDirectories } from "./serving/file-sync.ts";
import { openTestSession } from "./testing/open-test-session.ts";
import { methodPath, streamOutcome } from "./wire/rpc-client.ts";

const { signal } = new AbortController();

function makeFolders(): Disposable & { readonly source: string; readonly destination: string } {
  const root = mkdtempSync(join(tmpdir(), "unusual-files-"));
  const [source, destination] = [join(root, "source"), join(root, "destination")];
  mkdirSync(source);
  mkdirSync(destination);
  return { source, destination, [Symbol.dispose]: () => rmSync(root, { recursive: true }) };
}

async function transfer(source: string, destination: string): Promise<void> {
  await using session = await openTestSession([shareDirectories({ context: source })]);
  await receiveFiles(session.caller, { name: "context", destination }, { signal });
}

/** Changes the tree after it was listed, and before any file is read. */
async function transferWhile(folders: { source: string; destination: string }, change: () => void): Promise<void> {
  await using session = await openTestSession([
    (server) =>
      server.handleStream(FileSync.method.diffCopy, async (stream) => {
        const entries = [...walkTree(folders.source)];
        change();
        await sendTree(stream, entries, { signal });
      }),
  ]);
  await receiveFiles(session.caller, { name: "context", destination: folders.destination }, { signal });
}

function replace(path: string, make: () => void): void {
  rmSync(path);
  make();
}

suite("unusual files", () => {
  test("FIFOs and devices arrive as what they are", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    execFileSync("mkfifo", [join(source, "fifo")]);
    execFileSync("mknod", [join(source, "null"), "c", "1", "3"]);
    execFileSync("mknod", [join(source, "big"), "b", "300", "70000"]);
    await transfer(source, destination);
    assert.ok(lstatSync(join(destination, "fifo")).isFIFO());
    for (const name of ["null", "big"]) {
      const [sent, received] = [lstatSync(join(source, name)), lstatSync(join(destination, name))];
      assert.deepEqual([received.rdev, received.mode], [sent.rdev, sent.mode], name);
    }
  });

  test("sockets arrive as empty files, as from BuildKit's clients", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(source, "socket"), resolve));
    try {
      await transfer(source, destination);
      const received = lstatSync(join(destination, "socket"));
      assert.deepEqual([received.isFile(), received.size], [true, 0]);
    } finally {
      server.close();
    }
  });

  test("names with every character that a name can have arrive", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    const names = ["a,b", " ", "\\", "\n", "*", "?[x]", "-rf", "ünï", "日本", "\u{1F600}", "~", "x".repeat(255), "..."];
    for (const name of names) writeFileSync(join(source, name), name);
    await transfer(source, destination);
    assert.deepEqual(readdirSync(destination).toSorted(), names.toSorted());
  });

  test("names and links that are not UTF-8 arrive byte for byte, and so does what changes in them", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    const at = (root: string, name: string): Buffer => Buffer.from(`${root}/${name}`, "latin1");
    mkdirSync(at(source, "d\xff"));
    writeFileSync(at(source, "caf\xe9"), "one");
    writeFileSync(at(source, "caf\u00c3\u00a9"), "UTF-8");
    writeFileSync(at(source, "d\xff/in\xfe"), "inner");
    writeFileSync(at(source, "\x80"), "no character");
    linkSync(at(source, "caf\xe9"), at(source, "zz\xc3"));
    symlinkSync(Buffer.from("caf\xe9", "latin1"), at(source, "link\xc3"));
    await transfer(source, destination);
    const names = (root: string): string[] =>
      readdirSync(root, { recursive: true, encoding: "buffer" })
        .map((name) => name.toString("latin1"))
        .toSorted();
    assert.deepEqual(names(destination), names(source));
    assert.equal(readlinkSync(at(destination, "link\xc3"), { encoding: "latin1" }), "caf\xe9");
    assert.equal(lstatSync(at(destination, "zz\xc3")).ino, lstatSync(at(destination, "caf\xe9")).ino);
    writeFileSync(at(source, "d\xff/in\xfe"), "changed");
    rmSync(at(source, "\x80"));
    await using session = await openTestSession([shareDirectories({ context: source })]);
    const { changes } = await receiveFiles(session.caller, { name: "context", destination }, { signal });
    assert.deepEqual(changes, [
      { kind: "modify", path: "d\udcff/in\udcfe" },
      { kind: "delete", path: "\udc80" },
    ]);
    assert.equal(readFileSync(at(destination, "d\xff/in\xfe"), "utf8"), "changed");
  });

  test("extended attributes arrive, but for those by which overlayfs would take a file for something else", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    writeFileSync(join(source, "file"), "");
    mkdirSync(join(source, "directory"));
    const attributes = { "user.note": Buffer.from([0, 255, 1]), "user.overlay.opaque": Buffer.from("y") };
    for (const name of ["file", "directory"])
      for (const [key, value] of Object.entries(attributes)) setXattr(join(source, name), key, value);
    await transfer(source, destination);
    for (const name of ["file", "directory"]) {
      assert.deepEqual(findXattr(join(destination, name), "user.note"), attributes["user.note"]);
      assert.equal(findXattr(join(destination, name), "user.overlay.opaque"), undefined);
    }
  });

  for (const [what, size] of [
    ["small", 100],
    ["large", 1_000_000],
  ] as const) {
    test(`a ${what} file that changes or goes while the tree is read is an error that names it`, async () => {
      for (const change of [
        (path: string): void => appendFileSync(path, "more"),
        (path: string): void => truncateSync(path, size - 1),
        (path: string): void => rmSync(path),
        (path: string): void => writeFileSync(path, Buffer.alloc(size, 1)),
        (path: string): void => replace(path, () => symlinkSync("/etc/hostname", path)),
        (path: string): void => replace(path, () => mkdirSync(path)),
        (path: string): void => replace(path, () => execFileSync("mkfifo", [path])),
      ]) {
        using folders = makeFolders();
        const path = join(folders.source, "file");
        writeFileSync(path, Buffer.alloc(size));
        utimesSync(path, 1, 1);
        await assert.rejects(
          transferWhile(folders, () => change(path)),
          /"file" changed while the tree was read/,
        );
      }
    });
  }
});

test("TarStream, which nobody speaks, is announced and fails", async () => {
  using folders = makeFolders();
  await using session = await openTestSession([shareDirectories({ context: folders.source })]);
  const path = methodPath(FileSync.method.tarStream);
  assert.ok(session.caller.supports(path));
  const stream = session.caller.openStream(path, {});
  await assert.rejects(streamOutcome(stream, { signal }), {
    code: "unimplemented",
    message: /Cannot send files by TarStream: only DiffCopy is spoken/,
  });
});

suite("files of a client that sends what it got", () => {
  const listed = {
    uid: 0,
    gid: 0,
    modTime: 1n,
    linkName: "",
    devMajor: 0,
    devMinor: 0,
    xattrs: undefined,
    mode: 0o644,
  };
  const receiveOne = async (size: number, bytes: number, destination: string): Promise<void> => {
    await using session = await openTestSession([
      (server) =>
        server.handleStream(FileSync.method.diffCopy, async (stream) => {
          const entry = { stat: { ...listed, path: "a/file", size }, content: Buffer.alloc(bytes) };
          const directory = {
            stat: { ...listed, path: "a", size: 0, mode: goMode.directory + 0o755 },
            content: undefined,
          };
          await sendTree(stream, [directory, entry], { signal });
        }),
    ]);
    await receiveFiles(session.caller, { name: "context", destination }, { signal });
  };

  for (const [size, bytes, came] of [
    [10, 9, "9 came"],
    [10, 0, "0 came"],
    [10, 11, "more came"],
    [600_000, 300_000, "300000 came"],
  ] as const) {
    test(`${bytes} bytes of a file that was listed with ${size} are an error that names it`, async () => {
      using folders = makeFolders();
      await assert.rejects(receiveOne(size, bytes, folders.destination), {
        code: "failed_precondition",
        message: `Cannot receive file "a/file": it was listed with ${size} bytes and ${came}`,
      });
    });
  }

  test("a file that is listed without a size, also when asked again, has what came", async () => {
    using folders = makeFolders();
    await receiveOne(0, 7, folders.destination);
    assert.equal(lstatSync(join(folders.destination, "a/file")).size, 7);
  });

  for (const [what, later] of [
    ["grows", [{ ...listed, path: "grown", size: 7 }]],
    ["grows and goes", []],
  ] as const) {
    test(`a file that is empty when it is listed and ${what} before it is sent is an error that names it`, async () => {
      using folders = makeFolders();
      let calls = 0;
      await using session = await openTestSession([
        (server) =>
          server.handleStream(FileSync.method.diffCopy, async (stream) => {
            calls += 1;
            const first = [{ ...listed, path: "grown", size: 0 }];
            const content = Buffer.alloc(7);
            const entries = (calls === 1 ? first : later).map((stat) => ({ stat, content }));
            await sendTree(stream, entries, { signal });
          }),
      ]);
      await assert.rejects(
        receiveFiles(session.caller, { name: "context", destination: folders.destination }, { signal }),
        { code: "failed_precondition", message: /file "grown": it was listed with 0 bytes and more came/ },
      );
      assert.equal(calls, 2);
    });
  }
});
