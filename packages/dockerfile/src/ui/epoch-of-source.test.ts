import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { git, http, image, local, merge, type State } from "@buildkit-ts/llb";
import type { ResolvedSource } from "../frontend-client.ts";
import { MemoryFrontendClient } from "../testing/memory-frontend-client.ts";
import { epochOfSource } from "./epoch-of-source.ts";

const { signal } = new AbortController();

async function epoch(state: State, source: ResolvedSource = {}): Promise<bigint | undefined> {
  const sources = { "git://host/a.git": source, "https://host/a": source };
  const client = new MemoryFrontendClient({ options: {}, locals: {}, images: {}, capabilities: new Set(), sources });
  return await epochOfSource(client, { state, logName: "when" }, { signal });
}

suite("epochOfSource()", () => {
  test("is when a commit was committed, not when it was written", async () => {
    const commit =
      "tree 0\nauthor A <a@b> 100 +0100\ncommitter committer 7 +0000 <c@d> 200 -0730\n\ncommitter X <x@y> 300 +0000\n";
    const commitObject = new TextEncoder().encode(commit);
    assert.equal(await epoch(git("https://host/a.git"), { commitObject }), 200n);
  });

  test("refuses a commit without a committer", async () => {
    const commitObject = new TextEncoder().encode("tree 0\n\ncommitter X <x@y> 300 +0000\n");
    await assert.rejects(epoch(git("https://host/a.git"), { commitObject }), /names no committer/);
  });

  test("is when a file on the web was changed", async () => {
    assert.equal(await epoch(http("https://host/a"), { lastModified: 5n }), 5n);
  });

  test("is nothing for images, directories, and states of several sources", async () => {
    assert.equal(await epoch(image("a")), undefined);
    assert.equal(await epoch(local("context")), undefined);
    assert.equal(await epoch(merge([http("https://host/a"), http("https://host/b")]), { lastModified: 5n }), undefined);
  });
});
