import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { mountTemporarily } from "@buildkit-ts/mount";
import { hostPlatform } from "@buildkit-ts/oci";
import { BlobOrigin, GitSource } from "@buildkit-ts/sources";
import { gitIn, HttpGitServer, makeRepository } from "../e2e/support/git-servers.ts";
import { Parts, treeOf } from "../integration/support/parts.ts";

/**
 * GHSA-4vrq-3vrq-g6gg (CVE-2026-33748): a directory in a git URL led out of the checkout, by `..` or by a link. Beside
 * it what else a repository or its server can try.
 */
suite("a hostile git repository", () => {
  const folder = mkdtempSync(join(tmpdir(), "ghsa-4vrq-"));
  const repositories = join(folder, "repositories");
  const canary = join(folder, "canary");
  let parts: Parts;
  let server: HttpGitServer;
  let session: string;

  before(async () => {
    parts = await Parts.open(join(folder, "root"));
    makeRepository(join(repositories, "tricks.git"), { "inside/file": "inside", "deep/er/file": "deep" });
    const tricks = join(repositories, "tricks.git");
    symlinkSync("/etc", join(tricks, "absolute"));
    symlinkSync("../..", join(tricks, "upwards"));
    symlinkSync("../inside", join(tricks, "deep/sideways"));
    gitIn(tricks, "add", ".");
    gitIn(tricks, "commit", "-q", "-m", "links");
    server = await HttpGitServer.start(repositories);
    session = await parts.connect([]);
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await parts[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const checkOut = async (
    name: string,
    fragment: string,
    more: Readonly<Record<string, string>> = {},
  ): Promise<ImmutableRef> => {
    const url = `${server.url}/${name}`;
    const source = new GitSource({ ...parts.services, blobs: new BlobOrigin(parts.services) });
    const identifier = `git://${url.slice("http://".length)}${fragment}`;
    const request = { identifier, attributes: { "git.fullurl": url, ...more }, platform: hostPlatform(), vertex: "" };
    return await treeOf(source.resolve(request), parts.context(session));
  };
  const namesIn = async (
    name: string,
    fragment: string,
    more: Readonly<Record<string, string>> = {},
  ): Promise<string[]> => {
    await using ref = await checkOut(name, fragment, more);
    const { signal, progress } = parts;
    await using held = await ref.mount({ signal, progress });
    await using mounted = await mountTemporarily(held.mounts, { signal, onlyReads: true });
    return readdirSync(mounted.path).toSorted();
  };
  /** A repository whose `.gitmodules` says what no `git submodule add` would write. */
  const makeModules = (name: string, lines: readonly string[], path: string): void => {
    makeRepository(join(repositories, name), { file: "x" });
    const repository = join(repositories, name);
    // One that is really there, so that nothing but git's rules is in the way.
    const commit = gitIn(join(repositories, "tricks.git"), "rev-parse", "HEAD");
    writeFileSync(
      join(repository, ".gitmodules"),
      `[submodule "evil"]\n${lines.map((line) => `\t${line}\n`).join("")}`,
    );
    gitIn(repository, "add", ".gitmodules");
    gitIn(repository, "update-index", "--add", "--cacheinfo", `160000,${commit},${path}`);
    gitIn(repository, "commit", "-q", "-m", "module");
  };

  test("has directories, and nothing above them", async () => {
    assert.deepEqual(await namesIn("tricks.git", "#main:inside"), ["file"]);
    assert.deepEqual(await namesIn("tricks.git", "#main:/inside/"), ["file"]);
    const all = ["absolute", "deep", "inside", "upwards"];
    for (const path of ["..", "../..", "/", "inside/../../..", "./."])
      assert.deepEqual(await namesIn("tricks.git", `#main:${path}`), all);
  });

  for (const path of [
    "../../etc",
    "absolute",
    "absolute/ssl",
    "upwards",
    "upwards/canary",
    "deep/sideways",
    "inside/file",
  ]) {
    test(`does not get out by ${path}`, async () => {
      await assert.rejects(checkOut("tricks.git", `#main:${path}`), /non-directory|no such file or directory/);
    });
  }

  test("cannot make git take a name for an option", async () => {
    for (const ref of [`--upload-pack=touch ${canary}`, "-c", "--output=x", `-u${canary}`])
      await assert.rejects(checkOut("tricks.git", `#${ref}`), /invalid git ref/);
    makeRepository(join(repositories, "option.git"), { file: "x" });
    const option = join(repositories, "option.git");
    // What a server calls its default branch is used in further commands.
    gitIn(option, "update-ref", `refs/heads/--upload-pack=touch\${IFS}${canary.replaceAll("/", "\u2215")}`, "HEAD");
    gitIn(option, "update-ref", "refs/heads/--output=canary", "HEAD");
    gitIn(option, "symbolic-ref", "HEAD", "refs/heads/--output=canary");
    assert.deepEqual(await namesIn("option.git", ""), ["file"]);
    assert.deepEqual(await namesIn("option.git", "", { "git.checkoutbundle": "true" }), ["bundle"]);
    assert.equal(existsSync(canary), false);
  });

  const modules: readonly (readonly [string, readonly string[], string])[] = [
    ["a command for a URL", ["path = part", `url = ext::sh -c "touch ${canary}"`], "part"],
    ["an option for a URL", ["path = part", `url = -u./../../${canary}`], "part"],
    ["a file of this machine for a URL", ["path = part", `url = ${repositories}/tricks.git`], "part"],
    ["a file URL", ["path = part", `url = file://${repositories}/tricks.git`], "part"],
    ["a command for an update", ["path = part", "url = ./tricks.git", `update = !touch ${canary}`], "part"],
  ];
  for (const [what, lines, path] of modules) {
    test(`cannot do harm by a submodule with ${what}`, async () => {
      const name = `module-${modules.findIndex(([known]) => known === what)}.git`;
      makeModules(name, lines, path);
      await assert.rejects(checkOut(name, "#main"), /failed to update submodules|git stderr/);
      assert.equal(existsSync(canary), false);
    });
  }
});
