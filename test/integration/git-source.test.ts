import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { mountTemporarily } from "@buildkit-ts/mount";
import { hostPlatform } from "@buildkit-ts/oci";
import { BlobOrigin, compatibilityVersionKey, GitSource } from "@buildkit-ts/sources";
import { endProcess, freePort } from "../e2e/support/processes.ts";
import { Parts, treeOf } from "./support/parts.ts";

const gitPath = execFileSync("git", ["--exec-path"], { encoding: "utf8" }).trim();
const hasDaemon = existsSync(join(gitPath, "git-daemon"));

const folder = mkdtempSync(join(tmpdir(), "parts-"));
const platform = hostPlatform();
let parts: Parts;

before(async () => {
  parts = await Parts.open(join(folder, "root"));
});
after(async () => {
  await parts[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function inTree<T>(ref: ImmutableRef, use: (path: string) => T): Promise<T> {
  const { signal, progress } = parts;
  await using held = await ref.mount({ signal, progress });
  await using mounted = await mountTemporarily(held.mounts, { signal, onlyReads: true });
  return use(mounted.path);
}

test("a repository by branch, tag, commit and directory", { skip: !hasDaemon && "no git-daemon" }, async () => {
  const work = join(folder, "repos", "work");
  mkdirSync(join(work, "docs"), { recursive: true });
  const git = (...args: string[]): string =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], {
      cwd: work,
      encoding: "utf8",
    }).trim();
  git("init", "-q", "-b", "main");
  writeFileSync(join(work, "a.txt"), "one");
  writeFileSync(join(work, "docs/b.txt"), "b");
  git("add", ".");
  git("commit", "-q", "-m", "one");
  const first = git("rev-parse", "HEAD");
  git("tag", "-a", "-m", "v1", "v1");
  const tag = git("rev-parse", "v1");
  writeFileSync(join(work, "a.txt"), "two");
  git("commit", "-q", "-a", "-m", "two");
  const second = git("rev-parse", "HEAD");
  const port = await freePort();
  const args = ["daemon", "--export-all", "--reuseaddr", `--base-path=${join(folder, "repos")}`, `--port=${port}`];
  const daemon = spawn("git", [...args, "--listen=127.0.0.1", "--informative-errors"], { stdio: "ignore" });
  try {
    const url = `git://127.0.0.1:${port}/work`;
    for (let attempt = 0; attempt < 100; attempt += 1) {
      try {
        execFileSync("git", ["ls-remote", url], { stdio: "ignore" });
        break;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    const session = await parts.connect([]);
    const open = (fragment: string, attributes: Record<string, string> = {}) =>
      new GitSource({ ...parts.services, blobs: new BlobOrigin(parts.services) }).resolve({
        identifier: `git://127.0.0.1:${port}/work${fragment}`,
        attributes: { "git.fullurl": url, ...attributes },
        platform,
        vertex: "",
      });
    const context = parts.context(session);
    const branch = open("");
    assert.equal((await branch.cacheKey(0, context)).key, second);
    await using head = await treeOf(branch, context);
    assert.equal(await inTree(head, (path) => readFileSync(join(path, "a.txt"), "utf8")), "two");
    assert.ok(await inTree(head, (path) => !existsSync(join(path, ".git"))));
    await using again = await treeOf(open("#main"), context);
    assert.equal(again.id, head.id, "the same commit is checked out once");

    const tagged = open("#v1:docs");
    const key = await tagged.cacheKey(0, context);
    assert.deepEqual([key.key, key.pin], [`${first}:docs`, tag]);
    await using docs = await treeOf(tagged, context);
    assert.deepEqual(await inTree(docs, (path) => readdirSync(path)), ["b.txt"]);

    await using old = await treeOf(open(`#${first}`, { "git.mtime": "commit" }), context);
    const seconds = Number(git("log", "-1", "--format=%ct", first));
    assert.equal(await inTree(old, (path) => lstatSync(join(path, "docs/b.txt")).mtimeMs / 1000), seconds);

    const version10 = { ...context, values: (key: string) => (key === compatibilityVersionKey ? [10] : []) };
    for (const [with10, mode] of [
      [version10, 0o666],
      [context, 0o644],
    ] as const) {
      await using tree = await treeOf(open(`#${first}`), with10);
      const modeOf = (path: string): number => lstatSync(join(path, "docs/b.txt")).mode & 0o777;
      assert.equal(await inTree(tree, modeOf), mode);
    }

    git("checkout", "-q", "-b", "side");
    git("commit", "-q", "--allow-empty", "-m", "side");
    // Its history is fetched whole, with all tags.
    await using _side = await treeOf(open(`#${git("rev-parse", "HEAD")}`), context);
    await using kept = await treeOf(open("#v1", { "git.keepgitdir": "true" }), context);
    const described = await inTree(kept, (path) =>
      execFileSync("git", ["-c", "safe.directory=*", "-C", path, "describe", "--tags"], { encoding: "utf8" }).trim(),
    );
    assert.equal(described, "v1");

    await assert.rejects(open("#nope").cacheKey(0, context), { code: "not_found" });
    await assert.rejects(open("#main", { "git.checksum": "0123" }).cacheKey(0, context), {
      message: `expected checksum to match 0123, got ${second}`,
    });
    await assert.rejects(open("#main:missing").snapshot(context), { code: "not_found" });
  } finally {
    await endProcess(daemon);
  }
});
