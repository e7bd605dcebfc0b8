import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { DirectoryXattrs } from "./directory-xattrs.ts";
import { type FileStat, goMode } from "./file-stat.ts";

function digestOf(...entries: readonly (readonly [string, Readonly<Record<string, string>>, mode?: number])[]): string {
  const xattrs = new DirectoryXattrs();
  for (const [path, values, mode = goMode.directory] of entries)
    xattrs.add({
      path,
      mode,
      xattrs: new Map(Object.entries(values).map(([key, value]) => [key, Buffer.from(value)])),
    } as unknown as FileStat);
  return xattrs.digest;
}

suite("DirectoryXattrs", () => {
  test("is empty for directories without attributes, and for files", () => {
    assert.equal(digestOf(), "");
    assert.equal(digestOf(["a", {}], ["b", { "user.a": "1" }, 0]), "");
  });

  test("does not depend on the order in which a directory's are listed", () => {
    assert.equal(digestOf(["a", { "user.a": "1", "user.b": "2" }]), digestOf(["a", { "user.b": "2", "user.a": "1" }]));
  });

  test("tells apart whatever differs, wherever names and values end", () => {
    const digests = [
      digestOf(["a", { "user.a": "1" }]),
      digestOf(["a", { "user.a": "2" }]),
      digestOf(["a", { "user.a1": "" }]),
      digestOf(["b", { "user.a": "1" }]),
      digestOf(["a", { "user.a": "1" }], ["b", { "user.a": "1" }]),
      digestOf(["a", { "user.a": "1", b: "user.a" }]),
      digestOf(["\ud800", { "user.a": "1" }]),
      digestOf(["\ud801", { "user.a": "1" }]),
    ];
    assert.equal(new Set(digests).size, digests.length);
  });
});
