import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { FileSync } from "@buildkit-ts/api/buildkit/filesync";
import { sendTree } from "./fsutil/send-tree.ts";
import { walkTree } from "./fsutil/walk-tree.ts";
import { receiveFiles } from "./receive-files.ts";
import { shareDirectories } from "./serving/file-sync.ts";
import { openTestSession } from "./testing/open-test-session.ts";

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

  test("a name that is not UTF-8 is an error and not a missing file", async () => {
    using folders = makeFolders();
    const { source, destination } = folders;
    writeFileSync(Buffer.concat([Buffer.from(`${source}/a`), Buffer.from([0xff])]), "");
    await assert.rejects(transfer(source, destination), /the name of "a\uFFFD" is not UTF-8/);
  });

  for (const [what, size] of [
    ["small", 100],
    ["large", 1_000_000],
  ] as const) {
    test(`a ${what} file that grows, shrinks or goes while the tree is read is an error that names it`, async () => {
      for (const change of [
        (path: string): void => appendFileSync(path, "more"),
        (path: string): void => truncateSync(path, size - 1),
        (path: string): void => rmSync(path),
      ]) {
        using folders = makeFolders();
        const path = join(folders.source, "file");
        writeFileSync(path, Buffer.alloc(size));
        await assert.rejects(
          transferWhile(folders, () => change(path)),
          /"file" changed while the tree was read/,
        );
      }
    });
  }
});
