import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, suite, test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { StatSchema } from "@buildkit-ts/api/fsutil/stat";
import { PacketSchema } from "@buildkit-ts/api/fsutil/wire";
import { BuildError } from "@buildkit-ts/errdefs";
import { SystemError } from "@buildkit-ts/sys";
import fc from "fast-check";
import { frameMessage } from "../wire/grpc-frames.ts";
import { type FileStat, goMode } from "./file-stat.ts";
import { PacketWriter } from "./packet-writer.ts";
import { ReceiveEngine } from "./receive-engine.ts";
import type { ReceiveOptions } from "./receive-options.ts";

type Step =
  | { readonly kind: "stat"; readonly stat: FileStat | undefined }
  | { readonly kind: "data"; readonly id: number; readonly data: Uint8Array }
  | { readonly kind: "fin" | "request" | "error" }
  | { readonly kind: "bytes"; readonly data: Uint8Array };

const plain: FileStat = {
  path: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 1,
  modTime: 1n,
  linkName: "",
  devMajor: 0,
  devMinor: 0,
  xattrs: undefined,
};
const directory = (path: string): Step => ({ kind: "stat", stat: { ...plain, path, mode: goMode.directory + 0o755 } });
const link = (path: string, linkName: string): Step => ({
  kind: "stat",
  stat: { ...plain, path, linkName, mode: goMode.symlink + 0o777 },
});
const file = (path: string, more: Partial<FileStat> = {}): Step => ({
  kind: "stat",
  stat: { ...plain, path, ...more },
});
const end: Step = { kind: "stat", stat: undefined };
const data = (id: number, bytes: number): Step => ({ kind: "data", id, data: new Uint8Array(bytes) });

suite("a sender that means harm", () => {
  const root = mkdtempSync(join(tmpdir(), "hostile-sender-"));
  const [outside, destination, previous] = ["outside", "destination", "previous"].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];

  before(() => {
    mkdirSync(outside);
    writeFileSync(join(outside, "treasure"), "gold");
  });

  // What is there already are links out of the tree, which an old version or an output directory may hold.
  beforeEach(() => {
    for (const tree of [destination, previous]) {
      rmSync(tree, { recursive: true, force: true });
      mkdirSync(tree);
    }
  });

  after(() => rmSync(root, { recursive: true }));

  const plantLinks = (tree: string): void => {
    symlinkSync(outside, join(tree, "a"));
    symlinkSync("../outside/treasure", join(tree, "b"));
    mkdirSync(join(tree, "c"));
    symlinkSync("../../outside", join(tree, "c/a"));
  };

  /** Hands all over, as far as the engine takes it; gives what it refused. */
  const receive = (steps: readonly Step[], options: Partial<ReceiveOptions> = {}): BuildError | undefined => {
    using engine = new ReceiveEngine({ destination, differ: "metadata", merge: false, digests: true, ...options });
    try {
      for (const step of steps) engine.push(encode(step));
      return undefined;
    } catch (error) {
      if (!(error instanceof BuildError || error instanceof SystemError)) throw error;
      return BuildError.from(error);
    }
  };

  const refused: readonly (readonly [name: string, steps: readonly Step[], message: RegExp])[] = [
    ["a path above the tree", [file("../outside/x")], /escape check \.\.\/outside\/x/],
    ["the parent of the tree", [file("..")], /escape check/],
    ["a parent on the way", [directory("d"), file("d/../../outside/x")], /unclean path/],
    ["an absolute path", [file("/etc/x")], /absolute path \/etc\/x/],
    ["a path that is not clean", [directory("d"), file("d//x")], /unclean path/],
    ["the tree itself", [directory(".")], /unclean path/],
    ["no path", [file("")], /unclean path/],
    ["a NUL", [file("x\0y")], /unclean path/],
    ["a name that is too long", [file("x".repeat(256))], /name of 256 bytes.*file name too long/],
    ["a path that is too long", [file(`${"d/".repeat(2048)}x`)], /path of 4097 bytes: file name too long/],
    ["a file in a symbolic link", [link("l", outside), file("l/x")], /changes out of order: "l\/x"/],
    ["a file in a file", [file("f"), file("f/x")], /changes out of order/],
    ["a file in a directory that was not sent", [file("d/x")], /changes out of order/],
    ["a name twice", [file("f"), file("f")], /changes out of order: "f" "f"/],
    ["a directory of a file's name", [file("f"), directory("f")], /changes out of order/],
    ["names in another order", [file("g"), file("f")], /changes out of order: "f" "g"/],
    ["a link to a file outside", [file("f", { linkName: "../outside/treasure" })], /to unknown path/],
    ["a link to a symbolic link", [link("l", outside), file("m", { linkName: "l" })], /to unknown path: "l"/],
    ["a link to a directory", [directory("d"), file("m", { linkName: "d" })], /to unknown path: "d"/],
    ["a link to itself", [file("f", { linkName: "f" })], /to unknown path: "f"/],
    ["a negative size", [file("f", { size: -1 })], /a size of -1 for "f"/],
    ["a size beyond numbers", [file("f", { size: 2 ** 62 })], /a size of .* for "f"/],
    ["a device beyond numbers", [file("f", { mode: goMode.device, devMajor: -5 })], /a device -5 for "f"/],
    ["a type that there is not", [file("f", { mode: 2 ** 19 + 0o644 })], /a file of unknown type/],
    ["data that nobody asked for", [data(3, 1)], /data of file 3, which was not asked for/],
    ["data of a directory", [directory("d"), end, data(0, 1)], /data of file 0, which was not asked for/],
    ["a file's end twice", [file("f"), end, data(0, 1), data(0, 0), data(0, 0)], /which was not asked for/],
    ["more data than was announced", [file("f"), data(0, 1), data(0, 1)], /listed with 1 bytes and more came/],
    ["less data than was announced", [file("f"), data(0, 0)], /listed with 1 bytes and 0 came/],
    ["an end before its time", [file("f"), { kind: "fin" }], /an end before its time/],
    ["a file after the list", [end, file("f")], /a file after the end of the list/],
    ["a request", [{ kind: "request" }], /a request to the receiver/],
    ["an error of its own", [{ kind: "error" }], /error from sender: no/],
    ["a message that is none", [{ kind: "bytes", data: Buffer.from([0, 0, 0, 0, 2, 0xff, 0xff]) }], /malformed/],
    ["a message of 4 GiB", [{ kind: "bytes", data: Buffer.from([0, 255, 255, 255, 255]) }], /over the limit/],
  ];
  for (const [name, steps, message] of refused) {
    test(`is refused ${name}`, () => {
      const error = receive(steps);
      assert.match(error?.message ?? "nothing", message);
      assert.deepEqual(readdirSync(outside), ["treasure"]);
    });
  }

  test("opens no more files at once than a sender needs", () => {
    const names = Array.from({ length: 100 }, (_unused, index) => `f${String(index).padStart(3, "0")}`);
    const steps = [...names.map((name) => file(name, { size: 2 })), end, ...names.map((_name, id) => data(id, 1))];
    assert.match(receive(steps)?.message ?? "", /too many files at once/);
  });

  test("may send a tree as deep as paths are long, and replace it", () => {
    const depth = 2000;
    const deep = Array.from({ length: depth }, (_unused, index) => directory("d/".repeat(index + 1).slice(0, -1)));
    assert.equal(receive([...deep, end]), undefined);
    assert.equal(receive([file("d", { size: 0 }), end, data(0, 0)]), undefined);
    assert.deepEqual(readdirSync(destination), ["d"]);
  });

  test("never reaches anything outside, whatever it sends, into whatever was there", () => {
    fc.assert(
      fc.property(anySteps, anyOptions, (steps, { into, ...options }) => {
        for (const tree of [destination, previous]) {
          rmSync(tree, { recursive: true, force: true });
          mkdirSync(tree);
        }
        const descriptors = readdirSync("/proc/self/fd").length;
        if (into !== "nothing") plantLinks(into === "previous" ? previous : destination);
        receive(steps, { ...options, ...(into === "previous" && { previous }) });
        assert.deepEqual(readdirSync(root).toSorted(), ["destination", "outside", "previous"]);
        assert.deepEqual(readdirSync(outside), ["treasure"]);
        assert.equal(readFileSync(join(outside, "treasure"), "utf8"), "gold");
        assert.equal(readdirSync("/proc/self/fd").length, descriptors);
      }),
      { numRuns: process.env["NIGHTLY"] === undefined ? 200 : 20_000 },
    );
  });
});

const names = [
  "a",
  "b",
  "c",
  "c/a",
  "c/a/treasure",
  "a/treasure",
  "..",
  "../outside/x",
  "/etc/x",
  "c/../a",
  "b/",
  "",
  "é",
];
const anyPath = fc.constantFrom(...names);
const anyMode = fc
  .tuple(
    fc.constantFrom(0, 0, 0, ...Object.values(goMode), goMode.device + goMode.characterDevice, 2 ** 19),
    fc.constantFrom(0, 0o644, 0o4755),
  )
  .map(([type, bits]) => type + bits);
const anyStat = fc.record<FileStat>({
  path: anyPath,
  mode: anyMode,
  uid: fc.constantFrom(0, 1000, 0xffffffff),
  gid: fc.constantFrom(0, 0xffffffff),
  size: fc.constantFrom(0, 0, 1, 5, -1, 2 ** 62),
  modTime: fc.constantFrom(0n, 1n, -(2n ** 63n), 2n ** 63n - 1n),
  linkName: fc.oneof(
    { weight: 3, arbitrary: fc.constant("") },
    anyPath,
    fc.constantFrom("../outside", "../outside/treasure"),
  ),
  devMajor: fc.constantFrom(0, 1, -1),
  devMinor: fc.constantFrom(0, 3, 2 ** 40),
  xattrs: fc.constantFrom(
    undefined,
    new Map([["user.x", new Uint8Array(3)]]),
    new Map([["trusted.overlay.redirect", Buffer.from("/x")]]),
  ),
});
const inOrder = fc
  .array(anyStat, { maxLength: 8 })
  .map((stats) => stats.toSorted((left, right) => (left.path < right.path ? -1 : 1)));
const anyData = fc.tuple(fc.nat({ max: 8 }), fc.constantFrom(0, 1, 5)).map(([id, bytes]): Step => data(id, bytes));
const anyTail = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: anyData },
    { weight: 2, arbitrary: fc.constant(end) },
    fc.constantFrom<Step>({ kind: "fin" }, { kind: "request" }, { kind: "error" }),
    fc.uint8Array({ maxLength: 30 }).map((bytes): Step => ({ kind: "bytes", data: bytes })),
  ),
  { maxLength: 12 },
);
const anySteps = fc
  .tuple(fc.oneof({ weight: 3, arbitrary: inOrder }, fc.array(anyStat, { maxLength: 8 })), anyTail)
  .map(([stats, tail]): Step[] => [...stats.map((stat): Step => ({ kind: "stat", stat })), ...tail]);
const anyOptions = fc
  .record({
    into: fc.constantFrom("nothing", "destination", "previous"),
    differ: fc.constantFrom("metadata", "none"),
    merge: fc.boolean(),
    onlyMatching: fc.constantFrom(["**"], ["a"], ["c/a"]),
  })
  .map(({ onlyMatching, ...options }) => ({ ...options, ...(options.differ === "none" && { onlyMatching }) }));

function encode(step: Step): Buffer {
  const writer = new PacketWriter();
  switch (step.kind) {
    case "stat":
      // Our own writer knows no numbers below 0.
      return frameMessage(
        toBinary(PacketSchema, create(PacketSchema, { type: 0, ...(step.stat && { stat: messageOf(step.stat) }) })),
      );
    case "data":
      writer.dataHeader(step.id, step.data.length);
      writer.raw(step.data);
      break;
    case "fin":
      writer.fin();
      break;
    case "request":
      writer.request(0);
      break;
    case "error":
      writer.error("no");
      break;
    case "bytes":
      return Buffer.from(step.data);
    default:
      step satisfies never;
  }
  return writer.take();
}

function messageOf(stat: FileStat): MessageInitShape<typeof StatSchema> {
  const { linkName, devMajor, devMinor, size, xattrs, ...same } = stat;
  return {
    ...same,
    linkname: linkName,
    size: BigInt(size),
    devmajor: BigInt(devMajor),
    devminor: BigInt(devMinor),
    xattrs: Object.fromEntries(xattrs ?? []),
  };
}
