import assert from "node:assert/strict";
import {
  existsSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import { FileSync } from "@buildkit-ts/api/buildkit/filesync";
import { receiveFiles } from "../receive-files.ts";
import { shareDirectories } from "../serving/file-sync.ts";
import { openTestSession, type TestSession } from "../testing/open-test-session.ts";
import { DirectoryCache } from "./directory-cache.ts";
import type { FileStat } from "./file-stat.ts";
import { PacketWriter } from "./packet-writer.ts";
import { QuickComparison } from "./quick-comparison.ts";
import { TreeCursor } from "./tree-cursor.ts";

const { signal } = new AbortController();

interface Place {
  readonly source: string;
  /** A tree that was received from the source. */
  readonly previous: string;
  readonly next: string;
  /** Receives again; says whether a place for the result was asked for. */
  readonly receive: (
    session?: TestSession,
    differ?: "metadata" | "none",
  ) => Promise<{ readonly changes: readonly string[]; readonly wasAsked: boolean }>;
}

async function makePlace(t: TestContext): Promise<Place> {
  const root = mkdtempSync(join(tmpdir(), "quick-comparison-"));
  t.after(() => rmSync(root, { recursive: true }));
  const [source, previous, next] = ["source", "previous", "next"].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [join(source, "sub"), previous, next]) mkdirSync(path, { recursive: true });
  writeFileSync(join(source, "a"), "one");
  writeFileSync(join(source, "sub/b"), "two");
  symlinkSync("../a", join(source, "sub/link"));
  const receive: Place["receive"] = async (given, differ = "metadata") => {
    await using own = given ?? (await openTestSession([shareDirectories({ context: source })]));
    let wasAsked = false;
    const destination = async (): Promise<string> => {
      wasAsked = true;
      return await Promise.resolve(next);
    };
    const request = { name: "context", previous, digests: true, destination, differ };
    const { changes } = await receiveFiles(own.caller, request, { signal });
    return { changes: changes.map(({ kind, path }) => `${kind} ${path}`), wasAsked };
  };
  {
    await using session = await openTestSession([shareDirectories({ context: source })]);
    await receiveFiles(session.caller, { name: "context", destination: previous }, { signal });
  }
  return { source, previous, next, receive };
}

/** A client that says this after what it is asked for. */
function openSaying(first: Uint8Array, onAnswer: (answer: Buffer) => Uint8Array): Promise<TestSession> {
  return openTestSession([
    (server) =>
      server.handleStream(FileSync.method.diffCopy, async (stream) => {
        stream.write(first);
        for await (const chunk of stream) stream.write(onAnswer(chunk as Buffer));
      }),
  ]);
}

function listOf(tree: string): PacketWriter {
  const writer = new PacketWriter();
  using directories = new DirectoryCache(tree);
  const cursor = new TreeCursor(directories);
  for (let stat: FileStat | undefined = cursor.current; stat !== undefined; stat = cursor.current) {
    writer.stat(stat);
    cursor.next();
  }
  writer.stat(undefined);
  return writer;
}

suite("QuickComparison", () => {
  test("asks for no place when nothing has changed", async (t) => {
    const { receive } = await makePlace(t);
    assert.deepEqual(await receive(), { changes: [], wasAsked: false });
  });

  for (const [what, expected, change] of [
    ["content", "modify a", (source) => utimesSync(join(source, "a"), 1, 1)],
    ["a link", "modify sub/link", (source) => lutimesSync(join(source, "sub/link"), 1, 1)],
    ["another file", "add sub/c", (source) => writeFileSync(join(source, "sub/c"), "")],
    ["a file less at the end", "delete sub", (source) => rmSync(join(source, "sub"), { recursive: true })],
  ] as readonly [string, string, (source: string) => void][]) {
    test(`leaves ${what} to the thread, which finds all that came`, async (t) => {
      const { source, receive } = await makePlace(t);
      change(source);
      const { changes, wasAsked } = await receive();
      assert.ok(wasAsked);
      assert.ok(changes.includes(expected), String(changes));
    });
  }

  test("compares contents where all files are wanted", async (t) => {
    const { source, next, receive } = await makePlace(t);
    assert.deepEqual(await receive(undefined, "none"), { changes: [], wasAsked: false });
    const { mtime } = statSync(join(source, "sub/b"));
    writeFileSync(join(source, "sub/b"), "TWO");
    utimesSync(join(source, "sub/b"), mtime, mtime);
    const { changes } = await receive(undefined, "none");
    assert.ok(changes.includes("modify sub/b"), String(changes));
    assert.deepEqual(
      ["a", "sub/b", "sub/link"].map((path) => readFileSync(join(next, path), "utf8")),
      ["one", "TWO", "one"],
    );
  });

  test("leaves wanted files that are too many bytes, or have further names, to the thread", async (t) => {
    const { source, previous, next, receive } = await makePlace(t);
    for (const change of [
      () => writeFileSync(join(source, "large"), Buffer.alloc(70_000, 1)),
      () => rmSync(join(source, "large")),
      () => linkSync(join(source, "a"), join(source, "second")),
    ]) {
      change();
      for (const tree of [previous, next]) {
        rmSync(tree, { recursive: true });
        mkdirSync(tree);
      }
      await using session = await openTestSession([shareDirectories({ context: source })]);
      await receiveFiles(session.caller, { name: "context", destination: previous }, { signal });
      const { wasAsked } = await receive(undefined, "none");
      assert.equal(wasAsked, existsSync(join(source, "large")) || existsSync(join(source, "second")));
      if (wasAsked) assert.deepEqual(readdirSync(next).toSorted(), readdirSync(source).toSorted());
    }
  });

  for (const [what, place, count] of [
    ["directories of more names than a short list has", "previous", 4097],
    ["long lists", "source", 2000],
  ] as const) {
    test(`leaves ${what} to the thread`, async (t) => {
      const { receive, ...folders } = await makePlace(t);
      for (let index = 0; index < count; index += 1) writeFileSync(join(folders[place], `more-${index}`), "");
      assert.equal((await receive()).changes.length, count);
    });
  }

  test("takes chunks of any size", async (t) => {
    const { previous } = await makePlace(t);
    const list = listOf(previous).take();
    const quick = QuickComparison.for({ previous, merge: false, differ: "metadata" });
    const steps = [...list].map((byte) => quick?.push(Buffer.from([byte])));
    assert.equal(steps.pop(), "same");
    assert.deepEqual(new Set(steps), new Set(["wait"]));
    assert.equal(quick?.push(quick.confirmation()), "done");
    assert.equal(quick.result.entries, 4);
  });

  test("is for transfers that a comparison can settle", () => {
    const options = { merge: false, differ: "metadata", previous: "/x" } as const;
    assert.ok(QuickComparison.for(options) !== undefined);
    for (const other of [{ merge: true }, { owner: { uid: 1, gid: 1 } }, { onlyMatching: [] }])
      assert.equal(QuickComparison.for({ ...options, ...other } as typeof options), undefined);
    assert.equal(QuickComparison.for({ merge: false, differ: "metadata" }), undefined);
  });
});

suite("QuickComparison of what a client says that misbehaves", () => {
  test("fails with an error that comes instead of a confirmation, or with what else comes", async (t) => {
    const { previous, receive } = await makePlace(t);
    const failing = new PacketWriter();
    failing.error("no more");
    const asking = new PacketWriter();
    asking.request(0);
    for (const [writer, code] of [
      [failing, "unknown"],
      [asking, "invalid_argument"],
    ] as const) {
      const bytes = writer.take();
      await using session = await openSaying(listOf(previous).take(), () => bytes);
      await assert.rejects(receive(session), { code });
    }
  });

  test("leaves a list that is followed by more, and bytes that are no packets, to the thread, which refuses them", async (t) => {
    const { previous, next, receive } = await makePlace(t);
    const list = listOf(previous);
    list.stat(undefined);
    for (const bytes of [list.take(), Buffer.alloc(100, 0xff)]) {
      await using session = await openSaying(bytes, () => Buffer.alloc(0));
      await assert.rejects(receive(session));
    }
    assert.deepEqual(readdirSync(next), []);
  });

  test("leaves contents that were not asked for, end twice or are too long to the thread, which refuses them", async (t) => {
    const { previous, receive } = await makePlace(t);
    const say = (...parts: readonly (readonly [number, string])[]): Buffer => {
      const writer = new PacketWriter();
      for (const [id, text] of parts) {
        writer.dataHeader(id, text.length);
        writer.raw(Buffer.from(text));
      }
      return writer.take();
    };
    for (const said of [
      say([1, "x"]),
      say([0, "one"], [0, ""], [0, ""]),
      say([0, "one and more"], [0, ""]),
      say([0, "o"], [0, ""], [2, "two"], [2, ""]),
    ]) {
      let isFirst = true;
      const answer = (): Uint8Array => (isFirst ? said : Buffer.alloc(0));
      await using session = await openSaying(listOf(previous).take(), () => {
        const bytes = answer();
        isFirst = false;
        return bytes;
      });
      await assert.rejects(receive(session, "none"), { name: "BuildError" });
    }
  });

  test("fails when the client ends the stream after its list", async (t) => {
    const { previous, receive } = await makePlace(t);
    await using session = await openTestSession([
      (server) =>
        server.handleStream(FileSync.method.diffCopy, async (stream) => {
          stream.write(listOf(previous).take());
          await new Promise<void>((resolve) => stream.once("data", () => resolve()));
        }),
    ]);
    await assert.rejects(receive(session), { code: "unavailable" });
  });
});
