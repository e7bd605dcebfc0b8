import assert from "node:assert/strict";
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, before, suite, test } from "node:test";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { hostPlatform } from "@buildkit-ts/oci";
import { type Attachable, shareDirectories } from "@buildkit-ts/session/serving";
import { LocalSource, type SourceInstance } from "@buildkit-ts/sources";
import { listXattrs, removeXattr, setXattr } from "@buildkit-ts/sys";
import { Parts, treeOf } from "./support/parts.ts";

const platform = hostPlatform();

/** What there is below a directory: types, modes, times, contents, and which names are one file. */
function describeTree(root: string): string[] {
  const inodes = new Map<number, string>();
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .toSorted()
    .map((name) => {
      const stat = lstatSync(join(root, name));
      const first = stat.isFile() ? (inodes.get(stat.ino) ?? name) : name;
      inodes.set(stat.ino, first);
      const text = stat.isFile() ? readFileSync(join(root, name), "utf8").slice(0, 40) : "";
      return `${name} ${stat.mode.toString(8)} ${stat.mtimeMs} ${text}${first === name ? "" : ` = ${first}`}`;
    });
}

/** Shares a directory by a stream to which something is done. */
function wrapping(context: string, wrap: <T extends Duplex>(stream: T) => T): Attachable {
  return (server) =>
    shareDirectories({ context })(
      Object.create(server, {
        handleStream: {
          value: (...[method, handle]: Parameters<typeof server.handleStream>) =>
            server.handleStream(method, async (stream, call) => await handle(wrap(stream), call)),
        },
      }),
    );
}

/** The stream breaks when so many bytes have gone. */
function breakAfter<T extends Duplex>(stream: T, bytes: number): T {
  let sent = 0;
  const write = stream.write.bind(stream);
  return Object.assign(stream, {
    write: (chunk: Uint8Array): boolean => {
      sent += chunk.length;
      if (sent > bytes) stream.destroy();
      return sent > bytes || write(chunk);
    },
  });
}

/** What is written when so many bytes have gone is written later. */
function holdAfter<T extends Duplex>(
  stream: T,
  options: { readonly bytes: number; readonly held: PromiseWithResolvers<void>; readonly release: Promise<void> },
): T {
  let sent = 0;
  const write = stream.write.bind(stream);
  return Object.assign(stream, {
    write: (chunk: Uint8Array): boolean => {
      sent += chunk.length;
      if (sent <= options.bytes) return write(chunk);
      options.held.resolve();
      const copy = Buffer.from(chunk);
      options.release.then(
        () => write(copy),
        () => undefined,
      );
      return true;
    },
  });
}

suite("versions of a context", () => {
  let folder: string;
  let parts: Parts;
  let source: LocalSource;
  let count = 0;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "context-versions-"));
    parts = await Parts.open(join(folder, "root"));
    source = new LocalSource(parts.services);
  });

  after(async () => {
    await parts[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const makeContext = (): string => {
    count += 1;
    const context = join(folder, `context-${count}`);
    mkdirSync(join(context, "sub/deep"), { recursive: true });
    for (const name of ["a", "b", "c", "sub/d", "sub/deep/e", "sub/f"]) writeFileSync(join(context, name), `${name} 1`);
    linkSync(join(context, "a"), join(context, "sub/link"));
    symlinkSync("../a", join(context, "sub/symlink"));
    return context;
  };
  /** What a user does between two builds. */
  const change = (context: string): void => {
    writeFileSync(join(context, "b"), "changed");
    chmodSync(join(context, "c"), 0o600);
    utimesSync(join(context, "sub/d"), 1_000_000, 1_000_000);
    rmSync(join(context, "sub/deep"), { recursive: true });
    writeFileSync(join(context, "sub/deep"), "a file now");
    writeFileSync(join(context, "sub/new"), "new");
    // As editors write: the second name keeps the old content.
    writeFileSync(join(context, "a~"), "another file");
    renameSync(join(context, "a~"), join(context, "a"));
  };
  const instance = (): SourceInstance =>
    source.resolve({ identifier: "local://context", attributes: {}, platform, vertex: "" });
  const sync = async (attachables: readonly Attachable[], key: string): Promise<ImmutableRef> =>
    await treeOf(instance(), parts.context(await parts.connect(attachables, key)));
  const syncOf = async (context: string, key = context): Promise<ImmutableRef> =>
    await sync([shareDirectories({ context })], key);
  const directoryOf = async (ref: ImmutableRef): Promise<string> => {
    await using held = await ref.mount(parts);
    return held.mounts[0]?.source ?? "";
  };
  const checksum = async (ref: ImmutableRef): Promise<string> => await parts.cache.contentChecksum(ref, "/", parts);
  /** Syncs once more as if for the first time, and expects the same tree and checksum. */
  const expectFresh = async (version: ImmutableRef, context: string): Promise<void> => {
    assert.notEqual(parts.cache.getContentDigests(version.id), undefined, "nothing need be read for it");
    await using fresh = await syncOf(context, `fresh ${(count += 1)}`);
    assert.deepEqual(describeTree(await directoryOf(version)), describeTree(await directoryOf(fresh)));
    assert.deepEqual(describeTree(await directoryOf(version)), describeTree(context));
    assert.equal(await checksum(version), await checksum(fresh));
  };

  test("a new one is made of the tree of the one before, whose files in results stay as they are", async () => {
    const context = makeContext();
    const first = await syncOf(context);
    const directory = await directoryOf(first);
    // As COPY does.
    const result = join(folder, `result-${count}`);
    mkdirSync(result);
    for (const name of ["a", "b", "c", "sub/d", "sub/deep/e", "sub/f"])
      linkSync(join(directory, name), join(result, name.replaceAll("/", "-")));
    const copied = describeTree(result);
    const { ino } = lstatSync(directory);
    await first[Symbol.asyncDispose]();
    change(context);
    await using second = await syncOf(context);
    assert.equal(lstatSync(await directoryOf(second)).ino, ino);
    assert.notEqual(second.id, first.id);
    assert.equal(parts.cache.has(first.id), false);
    assert.deepEqual(describeTree(result), copied);
    await expectFresh(second, context);
  });

  for (const names of [["sub/link"], ["sub/link", "sub/third"]])
    test(`${names.join(" and ")} are names of the new file where their first name was replaced by one of the same time`, async () => {
      const context = makeContext();
      for (const name of names.slice(1)) linkSync(join(context, "a"), join(context, name));
      utimesSync(join(context, "a"), 1_000_000, 1_000_000);
      const first = await syncOf(context);
      // As COPY does.
      linkSync(join(await directoryOf(first), "a"), join(folder, `shared-${count}`));
      await first[Symbol.asyncDispose]();
      writeFileSync(join(context, "a"), "of another size");
      utimesSync(join(context, "a"), 1_000_000, 1_000_000);
      await using second = await syncOf(context);
      assert.equal(parts.cache.has(first.id), false, "it was made of the tree before");
      assert.equal(readFileSync(join(folder, `shared-${count}`), "utf8"), "a 1");
      await expectFresh(second, context);
      await using third = await syncOf(context);
      assert.equal(third.id, second.id, "nothing has changed since");
    });

  for (const [what, change] of [
    ["is gone", () => undefined],
    ["is a directory", (path) => mkdirSync(path)],
    ["is a symlink", (path) => symlinkSync("b", path)],
    ["is a name of another file", (path) => linkSync(join(path, "../b"), path)],
  ] as readonly [string, (path: string) => void][])
    test(`further names stay names of one file where its first name ${what}`, async () => {
      const context = makeContext();
      linkSync(join(context, "a"), join(context, "sub/third"));
      // Nothing else has this time.
      utimesSync(join(context, "a"), 1_000_000, 1_000_000);
      const first = await syncOf(context);
      linkSync(join(await directoryOf(first), "a"), join(folder, `shared-${count}`));
      await first[Symbol.asyncDispose]();
      rmSync(join(context, "a"));
      change(join(context, "a"));
      await using second = await syncOf(context);
      await expectFresh(second, context);
    });

  for (const isHeld of [false, true])
    test(`directories have the attributes that the client's have${isHeld ? ", also where the one before is held" : ""}`, async () => {
      const context = makeContext();
      const attributesOf = (root: string): unknown =>
        ["sub", "sub/deep"].map((name) => listXattrs(join(root, name)).filter((each) => each.startsWith("user.")));
      for (const name of ["sub", "sub/deep"]) setXattr(join(context, name), "user.one", Buffer.from("1"));
      await using held = new AsyncDisposableStack();
      const first = held.use(await syncOf(context));
      if (!isHeld) await held.disposeAsync();
      removeXattr(join(context, "sub"), "user.one");
      setXattr(join(context, "sub"), "user.two", Buffer.from("2"));
      removeXattr(join(context, "sub/deep"), "user.one");
      // A directory that is the same by all that is compared, and one that is not.
      chmodSync(join(context, "sub/deep"), 0o700);
      await using second = await syncOf(context);
      assert.equal(parts.cache.has(first.id), isHeld);
      assert.deepEqual(attributesOf(await directoryOf(second)), [["user.two"], []]);
      await expectFresh(second, context);
    });

  for (const isHeld of [false, true])
    test(`attributes of a directory are a change of their own${isHeld ? ", also where the one before is held" : ""}`, async () => {
      const context = makeContext();
      const namesOf = async (ref: ImmutableRef): Promise<readonly string[]> =>
        listXattrs(join(await directoryOf(ref), "sub")).filter((each) => each.startsWith("user."));
      for (const [change, names] of [
        [() => setXattr(join(context, "sub"), "user.one", Buffer.from("1")), ["user.one"]],
        [() => setXattr(join(context, "sub"), "user.one", Buffer.from("2")), ["user.one"]],
        [() => removeXattr(join(context, "sub"), "user.one"), []],
      ] as const) {
        await using held = new AsyncDisposableStack();
        const first = held.use(await syncOf(context));
        const before = await checksum(first);
        if (!isHeld) await held.disposeAsync();
        change();
        const second = await syncOf(context);
        assert.notEqual(second.id, first.id);
        assert.notEqual(await checksum(second), before);
        assert.deepEqual(await namesOf(second), names);
        await expectFresh(second, context);
        await second[Symbol.asyncDispose]();
        await using third = await syncOf(context);
        assert.equal(third.id, second.id, "nothing has changed since");
      }
    });

  test("attributes of a directory that the tree cannot have are no change for ever", async () => {
    const context = makeContext();
    setXattr(join(context, "sub"), "user.overlay.opaque", Buffer.from("y"));
    await using first = await syncOf(context);
    await using second = await syncOf(context);
    assert.equal(second.id, first.id);
    removeXattr(join(context, "sub"), "user.overlay.opaque");
    const third = await syncOf(context);
    assert.equal(await checksum(third), await checksum(first));
    await third[Symbol.asyncDispose]();
    await using fourth = await syncOf(context);
    assert.equal(fourth.id, third.id);
  });

  test("one that somebody holds stays as it is, and the new one has links to its files", async () => {
    const context = makeContext();
    await using first = await syncOf(context);
    const before = describeTree(await directoryOf(first));
    change(context);
    await using second = await syncOf(context);
    assert.notEqual(await directoryOf(second), await directoryOf(first));
    assert.deepEqual(describeTree(await directoryOf(first)), before);
    const inode = async (ref: ImmutableRef): Promise<number> => lstatSync(join(await directoryOf(ref), "sub/f")).ino;
    assert.equal(await inode(first), await inode(second));
    await expectFresh(second, context);
  });

  test("syncs of one context at the same time give each what its client has", async () => {
    const [context, other] = [makeContext(), makeContext()];
    await (await syncOf(context, "shared"))[Symbol.asyncDispose]();
    for (const round of [1, 2, 3]) {
      writeFileSync(join(context, "b"), `round ${round}`);
      const refs = await Promise.all([context, other, context].map(async (each) => await syncOf(each, "shared")));
      for (const [index, ref] of refs.entries()) {
        await expectFresh(ref, index === 1 ? other : context);
        await ref[Symbol.asyncDispose]();
      }
    }
  });

  test("a sync of a context whose last version is being changed waits for the next one", async () => {
    const context = makeContext();
    writeFileSync(join(context, "large"), Buffer.alloc(4_000_000, "large"));
    await (await syncOf(context))[Symbol.asyncDispose]();
    utimesSync(join(context, "large"), 1_000_000, 1_000_000);
    const held = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const slow = wrapping(context, (stream) => holdAfter(stream, { bytes: 1_000_000, held, release: release.promise }));
    const first = sync([slow], context);
    await held.promise;
    let isListed = false;
    const second = sync([wrapping(context, (stream) => ((isListed = true), stream))], context);
    // A sync that need not wait is over before.
    await (await syncOf(makeContext()))[Symbol.asyncDispose]();
    assert.equal(isListed, false);
    release.resolve();
    await using one = await first;
    await using other = await second;
    assert.equal(other.id, one.id);
    await expectFresh(one, context);
  });

  test("a sync that fails leaves what came for the next one, and nobody takes it for whole", async (t) => {
    const context = makeContext();
    const first = await syncOf(context);
    // Wherever it is moved to.
    const descriptor = openSync(await directoryOf(first), constants.O_RDONLY);
    t.after(() => closeSync(descriptor));
    const directory = `/proc/self/fd/${descriptor}/`;
    await first[Symbol.asyncDispose]();
    change(context);
    chmodSync(join(context, "sub"), 0o700);
    writeFileSync(join(context, "sub/large"), Buffer.alloc(4_000_000, "large"));
    await assert.rejects(sync([wrapping(context, (stream) => breakAfter(stream, 3_000_000))], context));
    assert.equal(parts.cache.has(first.id), false);
    assert.equal(readFileSync(join(directory, "b"), "utf8"), "changed", "it was stopped in the middle");
    assert.equal(existsSync(join(directory, "sub/large")), false, "what is half there is removed");
    await using second = await syncOf(context);
    assert.equal(lstatSync(await directoryOf(second)).ino, lstatSync(directory).ino);
    assert.deepEqual(describeTree(directory), describeTree(context));
    await using fresh = await syncOf(context, "another");
    assert.equal(await checksum(second), await checksum(fresh));
  });

  test("one of which only some was asked since a sync failed has the checksum of what is in it", async () => {
    const context = makeContext();
    await (await syncOf(context))[Symbol.asyncDispose]();
    writeFileSync(join(context, "large"), Buffer.alloc(4_000_000, "large"));
    await assert.rejects(sync([wrapping(context, (stream) => breakAfter(stream, 3_000_000))], context));
    const resumed = await syncOf(context);
    assert.equal(parts.cache.getContentDigests(resumed.id), undefined, "all of it is read when it is asked for");
    await parts.cache.contentChecksum(resumed, "/sub/deep/e", parts);
    await resumed[Symbol.asyncDispose]();
    chmodSync(join(context, "sub"), 0o700);
    await using changed = await syncOf(context);
    await using fresh = await syncOf(context, "another");
    const sums = [changed, fresh].map(async (ref) => await parts.cache.contentChecksum(ref, "/sub", parts));
    assert.equal(await sums[0], await sums[1]);
    await expectFresh(changed, context);
  });

  test("one that cannot be stored is gone, and the next sync begins anew", async () => {
    const context = makeContext();
    const first = await syncOf(context);
    await first[Symbol.asyncDispose]();
    const usage = async (): Promise<number> => (await parts.cache.diskUsage(parts)).length;
    const before = await usage();
    change(context);
    const { database } = parts;
    const fail = "BEGIN SELECT RAISE(FAIL, 'the disk is full'); END";
    database.run(
      `CREATE TEMP TRIGGER full BEFORE UPDATE ON cache_record WHEN OLD.mutable = 1 AND NEW.mutable = 0 ${fail}`,
    );
    try {
      await assert.rejects(syncOf(context), /the disk is full/);
    } finally {
      database.run("DROP TRIGGER full");
    }
    assert.equal(await usage(), before - 1);
    await using second = await syncOf(context);
    await expectFresh(second, context);
  });

  test("what a collector may remove meanwhile is there until the sync ends", async () => {
    const context = makeContext();
    await (await syncOf(context))[Symbol.asyncDispose]();
    change(context);
    const session = await parts.connect([shareDirectories({ context })], context);
    const { progress, ...rest } = parts.context(session);
    const everything = { filters: [], all: true, keepDurationMs: 0, reservedSpaceBytes: 0 } as const;
    const prune = async (): Promise<void> => {
      const options = { ...everything, maxUsedSpaceBytes: 0, minFreeSpaceBytes: 0, signal: parts.signal };
      for await (const _record of parts.cache.prune(options));
    };
    const prunes: Promise<void>[] = [];
    const status = (): void => void prunes.push(prune());
    await using version = await treeOf(instance(), { ...rest, progress: { ...progress, status } });
    await Promise.all(prunes);
    assert.ok(prunes.length > 0);
    await expectFresh(version, context);
  });
});
