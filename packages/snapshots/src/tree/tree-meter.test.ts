import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { WorkerCalls } from "@buildkit-ts/async";
import { TreeMeter } from "./tree-meter.ts";
import type { TreeRequest, TreeResult } from "./tree-request.ts";

const { signal } = new AbortController();

/** The real worker, with what it was asked for. */
class CountedCalls extends WorkerCalls<TreeRequest, TreeResult> {
  readonly requests: TreeRequest[] = [];

  override async call(request: TreeRequest, options: { readonly signal: AbortSignal }): Promise<TreeResult> {
    this.requests.push(request);
    return await super.call(request, options);
  }
}

function makeCalls(): CountedCalls {
  return new CountedCalls(new URL("./tree.worker.ts", import.meta.url).href, { idleMs: 20 });
}

test("measure() measures many trees in few calls, each for those who asked", async () => {
  const root = mkdtempSync(join(tmpdir(), "tree-meter-"));
  await using calls = makeCalls();
  const meter = new TreeMeter(calls);
  const paths = Array.from({ length: 100 }, (_, files) => {
    const path = join(root, String(files));
    mkdirSync(path);
    for (let file = 0; file < files; file++) writeFileSync(join(path, String(file)), "");
    return path;
  });
  const measured = await Promise.all(paths.map(async (path) => await meter.measure(path, { signal })));
  assert.deepEqual(
    measured.map(({ inodes }) => inodes),
    paths.map((_, files) => files + 1),
  );
  assert.equal(calls.requests.length, 4);
  rmSync(root, { recursive: true });
});

test("measure() goes on for one when another loses interest, and ends when none is left", async () => {
  const root = mkdtempSync(join(tmpdir(), "tree-meter-"));
  await using calls = makeCalls();
  const meter = new TreeMeter(calls);
  const controller = new AbortController();
  const [left, kept] = [meter.measure(root, { signal: controller.signal }), meter.measure(root, { signal })];
  controller.abort(new Error("enough"));
  await assert.rejects(left, /enough/);
  assert.equal((await kept).inodes, 1);
  const alone = new AbortController();
  const last = meter.measure(root, { signal: alone.signal });
  alone.abort(new Error("enough"));
  await assert.rejects(last, /enough/);
  rmSync(root, { recursive: true });
});

test("measure() fails for one that cannot be read, and for no other", async () => {
  const root = mkdtempSync(join(tmpdir(), "tree-meter-"));
  writeFileSync(join(root, "file"), "");
  await using calls = makeCalls();
  const meter = new TreeMeter(calls);
  const [bad, good] = [meter.measure(join(root, "file"), { signal }), meter.measure(root, { signal })];
  await assert.rejects(bad, { code: "ENOTDIR" });
  assert.equal((await good).inodes, 2);
  rmSync(root, { recursive: true });
});

test("measure() has nothing to do with those who lost interest before", async () => {
  const root = mkdtempSync(join(tmpdir(), "tree-meter-"));
  await using calls = makeCalls();
  const meter = new TreeMeter(calls);
  const controller = new AbortController();
  const left = meter.measure(root, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await Promise.resolve();
  const rejected = assert.rejects(left, /enough/);
  for (let turn = 0; turn < 10; turn++) {
    await Promise.resolve();
    assert.equal((await meter.measure(root, { signal })).inodes, 1);
  }
  await rejected;
  rmSync(root, { recursive: true });
});
