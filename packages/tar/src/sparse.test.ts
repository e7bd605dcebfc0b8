import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import fc from "fast-check";
import { encodeTarHeader, tarEnd } from "./encode-header.ts";
import { encodePaxRecords } from "./pax-records.ts";
import { TarDecoder } from "./tar-decoder.ts";
import { type TarHeader, tarPadding } from "./tar-header.ts";
import { decodeTar } from "./tar-streams.ts";

interface Read {
  readonly header: TarHeader;
  readonly content: Buffer;
  readonly holes: number;
}

function decode(bytes: Uint8Array, chunkSize = bytes.length): Read[] {
  const entries: { header: TarHeader; parts: Buffer[]; holes: number }[] = [];
  const decoder = new TarDecoder({
    entry: (header) => entries.push({ header, parts: [], holes: 0 }),
    data: (chunk) => entries.at(-1)?.parts.push(Buffer.from(chunk)),
    hole: (length) => {
      const entry = entries.at(-1);
      assert.ok(entry !== undefined && length > 0);
      entry.holes += length;
      // A file of exabytes is counted, not made.
      if (length < 1 << 28) entry.parts.push(Buffer.alloc(length));
    },
    end: () => undefined,
  });
  for (let at = 0; at < bytes.length; at += chunkSize) decoder.write(bytes.subarray(at, at + chunkSize));
  decoder.finish();
  return entries.map(({ header, parts, holes }) => ({ header, holes, content: Buffer.concat(parts) }));
}

const plain = { type: "file", mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 1 } as const;

/** An entry with these pax records and so many stored bytes. */
function paxEntry(records: readonly (readonly [string, string])[], stored: Uint8Array): Buffer {
  // One after the other: keys may repeat.
  const body = Buffer.concat(records.map(([key, value]) => encodePaxRecords(new Map([[key, Buffer.from(value)]]))));
  const extended = encodeTarHeader({ ...plain, name: "x", size: body.length });
  return Buffer.concat([
    reseal(extended, (block) => void block.write("x", 156)),
    body,
    Buffer.alloc(tarPadding(body.length)),
    encodeTarHeader({ ...plain, name: "f", size: stored.length }),
    stored,
    Buffer.alloc(tarPadding(stored.length)),
    encodeTarHeader({ ...plain, name: "next", size: 0 }),
    tarEnd,
  ]);
}

/** An entry of GNU's own format with regions as they are written. */
function gnuEntry(regions: readonly (readonly [number, number])[], realSize: number, stored: Uint8Array): Buffer {
  const octal = (value: number): string => value.toString(8).padStart(11, "0");
  const header = reseal(encodeTarHeader({ ...plain, name: "f", size: stored.length }), (block) => {
    block.write("S", 156);
    block.write("ustar  \0", 257, "latin1");
    regions.slice(0, 4).forEach(([offset, length], index) => {
      block.write(octal(offset), 386 + index * 24);
      block.write(octal(length), 398 + index * 24);
    });
    block[482] = regions.length > 4 ? 1 : 0;
    if (realSize < 2 ** 33) block.write(octal(realSize), 483);
    else {
      block[483] = 0x80;
      block.writeBigUInt64BE(BigInt(realSize), 487);
    }
  });
  const blocks: Buffer[] = [];
  for (let at = 4; at < regions.length; at += 21) {
    const block = Buffer.alloc(512);
    regions.slice(at, at + 21).forEach(([offset, length], index) => {
      block.write(octal(offset), index * 24);
      block.write(octal(length), index * 24 + 12);
    });
    block[504] = at + 21 < regions.length ? 1 : 0;
    blocks.push(block);
  }
  return Buffer.concat([header, ...blocks, stored, Buffer.alloc(tarPadding(stored.length)), tarEnd]);
}

function reseal(block: Buffer, change: (block: Buffer) => void): Buffer {
  const changed = Buffer.from(block);
  change(changed);
  changed.fill(0x20, 148, 156);
  const sum = changed.reduce((total, byte) => total + byte, 0);
  changed.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return changed;
}

suite("sparse files", () => {
  const folder = mkdtempSync(join(tmpdir(), "sparse-tar-"));
  after(() => rmSync(folder, { recursive: true }));

  const write = (name: string, regions: readonly number[], size: number): void => {
    const fd = openSync(join(folder, name), "w");
    for (const offset of regions) writeSync(fd, `data at ${offset}`, offset);
    ftruncateSync(fd, size);
    closeSync(fd);
  };
  const manyRegions = Array.from({ length: 60 }, (_, index) => index << 16);
  write("many", manyRegions, 61 << 16);
  write("late", [5 << 20], 6 << 20);
  write("empty", [], 3 << 20);
  write("no-holes", [0], 10);
  const names = ["many", "late", "empty", "no-holes"];

  const formats: readonly (readonly string[])[] = [
    ["--format=gnu"],
    ["--format=oldgnu"],
    ["--format=posix", "--sparse-version=0.0"],
    ["--format=posix", "--sparse-version=0.1"],
    ["--format=posix", "--sparse-version=1.0"],
  ];
  for (const format of formats) {
    test(`TarDecoder reads those of GNU tar ${format.join(" ")}`, async () => {
      const { stdout, status } = spawnSync("tar", ["-cSf", "-", ...format, "-C", folder, ...names], {
        maxBuffer: 1 << 26,
      });
      assert.equal(status, 0);
      for (const chunkSize of [stdout.length, 511, 7]) {
        const entries = decode(stdout, chunkSize);
        assert.deepEqual(
          entries.map(({ header }) => header.name),
          names,
        );
        for (const { header, content, holes } of entries) {
          const expected = readFileSync(join(folder, header.name));
          assert.equal(header.size, expected.length);
          assert.ok(content.equals(expected), `${header.name} in pieces of ${chunkSize}`);
          if (header.name !== "no-holes") assert.ok(holes > header.size / 2, `${header.name} has its holes`);
        }
      }
      const { signal } = new AbortController();
      for await (const { header, content } of decodeTar(chunked(stdout), { signal })) {
        if (header.name === "late") continue;
        const parts: Uint8Array[] = [];
        for await (const part of content) parts.push(part);
        assert.ok(Buffer.concat(parts).equals(readFileSync(join(folder, header.name))), header.name);
      }
    });
  }

  const version = (minor: string, ...more: (readonly [string, string])[]): (readonly [string, string])[] => [
    ["GNU.sparse.major", minor.split(".")[0] ?? ""],
    ["GNU.sparse.minor", minor.split(".")[1] ?? ""],
    ["GNU.sparse.realsize", "1000"],
    ...more,
  ];
  const list = (map: string, count: string): (readonly [string, string])[] =>
    version("0.1", ["GNU.sparse.numblocks", count], ["GNU.sparse.map", map]);
  const text = (map: string, padded = map.length + tarPadding(map.length)): Buffer => {
    const bytes = Buffer.alloc(padded);
    bytes.write(map);
    return bytes;
  };
  const none = Buffer.alloc(0);
  const hostile: readonly (readonly [what: string, archive: Buffer])[] = [
    ["whose regions overlap", paxEntry(list("0,10,5,10", "2"), Buffer.alloc(20))],
    ["whose regions go backwards", paxEntry(list("100,10,0,10", "2"), Buffer.alloc(20))],
    ["with a negative offset", paxEntry(list("-5,10", "1"), Buffer.alloc(10))],
    ["with a negative length", paxEntry(list("5,-10", "1"), none)],
    ["that ends beyond its size", paxEntry(list("995,10", "1"), Buffer.alloc(10))],
    ["whose end is beyond all numbers", paxEntry(list("9007199254740991,9007199254740991", "1"), none)],
    ["with numbers beyond all", paxEntry(list("99999999999999999999,1", "1"), none)],
    ["that is longer than its regions", paxEntry(list("0,10", "1"), Buffer.alloc(20))],
    ["that is shorter than its regions", paxEntry(list("0,30", "1"), Buffer.alloc(20))],
    ["with fewer regions than it says", paxEntry(list("0,10", "2"), Buffer.alloc(10))],
    ["without a count of regions", paxEntry(version("0.1", ["GNU.sparse.map", "0,10"]), Buffer.alloc(10))],
    ["of exabytes", paxEntry([["GNU.sparse.size", "9223372036854775807"], ...list("", "0")], none)],
    ["with half a region", paxEntry(version("0.0", ["GNU.sparse.offset", "0"]), Buffer.alloc(10))],
    [
      "with two offsets in a row",
      paxEntry(
        [0, 1].map(() => ["GNU.sparse.offset", "0"] as const),
        none,
      ),
    ],
    ["whose map is missing", paxEntry(version("1.0"), none)],
    ["whose map is cut off", paxEntry(version("1.0"), text("3\n0\n", 100))],
    ["whose map never ends", paxEntry(version("1.0"), text(`9999\n${"0\n".repeat(100)}`, 1024))],
    ["whose map is one line", paxEntry(version("1.0"), Buffer.alloc(8192, "1"))],
    ["whose map has no numbers", paxEntry(version("1.0"), text("a\nb\nc\n"))],
    ["with a negative count", paxEntry(version("1.0"), text("-1\n"))],
    ["with millions of regions", paxEntry(version("1.0"), text("100000000\n"))],
    [
      "whose regions overlap, in GNU's format",
      gnuEntry(
        [
          [0, 10],
          [5, 10],
        ],
        100,
        Buffer.alloc(20),
      ),
    ],
    ["that ends beyond its size, in GNU's format", gnuEntry([[0, 10]], 5, Buffer.alloc(10))],
    [
      "with very many regions, in GNU's format",
      gnuEntry(
        Array.from({ length: 200_000 }, (_, index) => [index, 1] as const),
        200_000,
        none,
      ),
    ],
  ];
  for (const [what, archive] of hostile) {
    test(`TarDecoder refuses one ${what}`, () => {
      for (const chunkSize of [archive.length, 513])
        assert.throws(() => decode(archive, chunkSize), { code: "invalid_argument" });
    });
  }

  test("TarDecoder gives as many bytes as a header says, or refuses, whatever becomes of an archive", () => {
    const records = (map: string): Buffer => paxEntry(list(map, "2"), Buffer.alloc(20, "x"));
    const corpus = [
      records("0,10,500,10"),
      paxEntry(version("1.0"), Buffer.concat([text("2\n0\n2\n500\n2\n"), Buffer.from("abcd")])),
      gnuEntry(
        Array.from({ length: 30 }, (_, index) => [index * 20, 2] as const),
        1000,
        Buffer.alloc(60, "y"),
      ),
    ];
    const change = fc.record({
      at: fc.nat(3000),
      byte: fc.oneof(fc.constantFrom(0, 0x30, 0x37, 0x0a, 0x80), fc.nat(255)),
    });
    const input = fc.record({ archive: fc.constantFrom(...corpus), changes: fc.array(change, { maxLength: 4 }) });
    fc.assert(
      fc.property(input, fc.integer({ min: 1, max: 1500 }), ({ archive, changes }, chunkSize) => {
        const bytes = Buffer.from(archive);
        for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
        // Whoever changes a header makes its checksum right.
        for (let at = 0; at < bytes.length; at += 512) {
          const block = bytes.subarray(at, at + 512);
          if (block.toString("latin1", 257, 262) === "ustar") reseal(block, () => undefined).copy(bytes, at);
        }
        const sizes: { readonly header: TarHeader; bytes: number }[] = [];
        const add = (count: number): void => {
          const last = sizes.at(-1);
          assert.ok(last !== undefined);
          last.bytes += count;
        };
        const decoder = new TarDecoder({
          entry: (header) => sizes.push({ header, bytes: 0 }),
          data: (chunk) => add(chunk.length),
          hole: add,
          end: () => assert.equal(sizes.at(-1)?.bytes, sizes.at(-1)?.header.size),
        });
        try {
          for (let at = 0; at < bytes.length; at += chunkSize) decoder.write(bytes.subarray(at, at + chunkSize));
          decoder.finish();
        } catch (error) {
          if (!(error instanceof BuildError) || error.code !== "invalid_argument") throw error;
        }
      }),
      { numRuns: process.env["NIGHTLY"] === "1" ? 200_000 : 1500 },
    );
  });

  test("TarDecoder only counts what a file of petabytes would be", () => {
    const size = 2 ** 52;
    const [found] = decode(gnuEntry([], size, none));
    assert.equal(found?.header.size, size);
    assert.equal(found?.holes, size);
  });

  test("TarDecoder takes a version that nobody knows for an ordinary file, as Go's reader does", () => {
    const [found, next] = decode(paxEntry(version("2.0"), Buffer.from("bytes")));
    assert.equal(found?.content.toString(), "bytes");
    assert.equal(next?.header.name, "next");
  });

  test("TarDecoder reads a map that ends with its block, and regions of nothing", () => {
    const map = "3\n0\n2\n500\n0\n1000\n0\n";
    const [found, next] = decode(paxEntry(version("1.0"), Buffer.concat([text(map), Buffer.from("ab")])), 100);
    assert.equal(found?.content.length, 1000);
    assert.equal(found?.content.toString("latin1", 0, 3), "ab\0");
    assert.equal(next?.header.name, "next");
  });
});

async function* chunked(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
}
