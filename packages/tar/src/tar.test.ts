import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { BuildError } from "@buildkit-ts/errdefs";
import fc from "fast-check";
import { compareBytes, decodeBytes, encodeBytes } from "./byte-text.ts";
import { encodeTarHeader, tarEnd } from "./encode-header.ts";
import { TarDecoder } from "./tar-decoder.ts";
import { type TarEntryType, type TarHeader, tarPadding, typeFlags } from "./tar-header.ts";
import { decodeTar, encodeTar, type TarEntry } from "./tar-streams.ts";
import { splitTarName } from "./whiteout.ts";

interface GoHeader {
  Name: string;
  Type: string;
  Mode: number;
  Uid: number;
  Gid: number;
  Size: number;
  Sec: number;
  Nsec: number;
  Link: string;
  Uname: string;
  Maj: number;
  Min: number;
  X: Record<string, string> | null;
  Hex: string;
}

const goHeaders = JSON.parse(
  gunzipSync(readFileSync(new URL("../testdata/go-headers.json.gz", import.meta.url))).toString(),
) as GoHeader[];

function fromGo(go: GoHeader): TarHeader {
  const type = (Object.keys(typeFlags) as TarEntryType[]).find((key) => typeFlags[key] === go.Type) ?? "file";
  return {
    name: go.Name,
    type,
    mode: go.Mode,
    uid: go.Uid,
    gid: go.Gid,
    size: go.Size,
    mtimeSeconds: go.Sec,
    mtimeNanoseconds: go.Nsec,
    linkName: go.Link,
    userName: go.Uname,
    deviceMajor: go.Maj,
    deviceMinor: go.Min,
    xattrs: new Map(Object.entries(go.X ?? {}).map(([key, value]) => [key, Buffer.from(value)])),
  };
}

const { signal } = new AbortController();

function decode(bytes: Uint8Array, chunkSize = bytes.length): { header: TarHeader; content: Buffer }[] {
  const entries: { header: TarHeader; content: Buffer }[] = [];
  const decoder = new TarDecoder({
    entry: (header) => entries.push({ header, content: Buffer.alloc(0) }),
    data: (chunk) => {
      const last = entries.at(-1);
      if (last !== undefined) last.content = Buffer.concat([last.content, chunk]);
    },
    hole: () => assert.fail("no file is sparse"),
    end: () => undefined,
  });
  for (let at = 0; at < bytes.length; at += chunkSize) decoder.write(bytes.subarray(at, at + chunkSize));
  decoder.finish();
  return entries;
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("encodeTarHeader writes the bytes that Go's archive/tar writes", () => {
  for (const go of goHeaders) {
    assert.equal(encodeTarHeader(fromGo(go)).toString("hex"), go.Hex, go.Name);
  }
});

test("TarDecoder reads back what Go wrote", () => {
  for (const go of goHeaders.filter((each) => each.Size === 0)) {
    const [entry] = decode(Buffer.from(go.Hex, "hex"), 100);
    assert.equal(entry?.header.name, go.Name);
    assert.equal(entry?.header.mtimeSeconds, go.Sec);
    assert.equal(entry?.header.mtimeNanoseconds ?? 0, go.Nsec);
    assert.equal(entry?.header.uid, go.Uid);
    assert.equal(entry?.header.linkName ?? "", go.Link);
    assert.equal(entry?.header.xattrs?.size ?? 0, Object.keys(go.X ?? {}).length);
  }
});

test("names that are no UTF-8 keep their bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      assert.deepEqual(encodeBytes(decodeBytes(bytes)), Buffer.from(bytes));
    }),
  );
  assert.equal(decodeBytes(Buffer.from([0x61, 0xff, 0xc3, 0xa4])), "a\udcffä");
});

test("compareBytes orders as the bytes do", () => {
  const text = fc.oneof(fc.string({ unit: "binary" }), fc.uint8Array().map(decodeBytes));
  fc.assert(
    fc.property(text, text, (a, b) => {
      assert.equal(Math.sign(compareBytes(a, b)), Math.sign(Buffer.compare(encodeBytes(a), encodeBytes(b))));
    }),
  );
});

const headers: fc.Arbitrary<TarHeader> = fc
  .record({
    name: fc.string({ unit: "binary", minLength: 1, maxLength: 300 }).map((name) => `n${name.replaceAll("\0", "")}e`),
    type: fc.constantFrom(...(Object.keys(typeFlags) as TarEntryType[])),
    mode: fc.nat(0o7777),
    uid: fc.nat(0xffff_fffe),
    gid: fc.nat(0xffff_fffe),
    mtimeSeconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    mtimeNanoseconds: fc.nat(999_999_999),
    link: fc.string({ unit: "binary", minLength: 1, maxLength: 200 }).map((name) => name.replaceAll("\0", "l")),
    xattr: fc.option(fc.uint8Array({ maxLength: 2000 })),
  })
  .map(({ link, xattr, mtimeNanoseconds, ...rest }) => ({
    ...rest,
    size: 0,
    userName: "",
    groupName: "",
    ...(mtimeNanoseconds > 0 && { mtimeNanoseconds }),
    ...((rest.type === "symlink" || rest.type === "hardlink") && { linkName: link }),
    ...((rest.type === "block" || rest.type === "character") && { deviceMajor: 7, deviceMinor: 9 }),
    ...(xattr !== null && { xattrs: new Map([["user.x", Buffer.from(xattr)]]) }),
  }));

test("decoding gives what was encoded, in chunks of any size", async () => {
  const entry = fc.tuple(headers, fc.uint8Array({ maxLength: 1500 })).map(([header, bytes]) => {
    const content = header.type === "file" ? bytes : new Uint8Array();
    return { header: { ...header, size: content.length }, content };
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(entry, { maxLength: 5 }),
      fc.integer({ min: 1, max: 3000 }),
      async (entries, chunkSize) => {
        const archive = await collect(
          encodeTar(
            entries.map((e) => ({ header: e.header, content: [e.content] })),
            { signal },
          ),
        );
        const back = decode(archive, chunkSize);
        assert.deepEqual(
          back.map((e) => e.header),
          entries.map((e) => e.header),
        );
        for (const [i, e] of back.entries()) assert.deepEqual(e.content, Buffer.from(entries[i]?.content ?? []));
      },
    ),
  );
});

test("TarDecoder answers random and damaged bytes with invalid_argument only", () => {
  const valid = Buffer.concat([
    ...goHeaders.filter((go) => go.Size === 0).map((go) => Buffer.from(go.Hex, "hex")),
    tarEnd,
  ]);
  const damaged = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 6 }).map((changes) => {
    const bytes = Buffer.from(valid);
    for (const [at, value] of changes) bytes[at] = value;
    return bytes;
  });
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 3000 })), (bytes) => {
      try {
        decode(bytes, 700);
      } catch (error) {
        if (!(error instanceof BuildError) || error.code !== "invalid_argument") throw error;
      }
    }),
    { numRuns: 300 },
  );
});

test("TarDecoder reads what GNU tar writes in its own format", () => {
  const long = `${"long/".repeat(40)}name`;
  const script = `d=$(mktemp -d) && cd $d && mkdir -p "$(dirname ${long})" && echo hi > ${long} && ln -s ${long} link && ln ${long} hard && tar --format=gnu --owner=3000000 -cf - ${long} link hard; rm -r $d`;
  const { stdout } = spawnSync("sh", ["-c", script]);
  const entries = decode(stdout, 999);
  assert.deepEqual(
    entries.map(({ header }) => [header.name, header.type, header.linkName, header.uid, header.size]),
    [
      [long, "file", undefined, 3_000_000, 3],
      ["link", "symlink", long, 3_000_000, 0],
      ["hard", "hardlink", long, 3_000_000, 0],
    ],
  );
  assert.equal(entries[0]?.content.toString(), "hi\n");
});

test("TarDecoder refuses sparse files of unknown formats, huge meta entries and archives that are cut off", () => {
  const block = encodeTarHeader({ name: "f", type: "file", mode: 0, uid: 0, gid: 0, size: 10, mtimeSeconds: 0 });
  assert.throws(() => decode(block), { code: "invalid_argument", message: /middle of an entry/ });
  for (const [flag, size, code] of [
    ["S", 10, "invalid_argument"],
    ["L", 2 ** 21, "invalid_argument"],
    ["x", 2 ** 33 - 1, "invalid_argument"],
    ["Z", 10, "invalid_argument"],
  ] as const) {
    const bad = Buffer.from(block);
    bad.write(flag, 156, "latin1");
    bad.write(size.toString(8).padStart(11, "0"), 124, "latin1");
    bad.fill(0x20, 148, 156);
    bad.write(
      bad
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, "0"),
      148,
      "latin1",
    );
    assert.throws(() => decode(bad), { code }, flag);
  }
});

test("decodeTar skips the content that nobody read", async () => {
  const header = (name: string): TarHeader => ({
    name,
    type: "file",
    mode: 0,
    uid: 0,
    gid: 0,
    size: 3,
    mtimeSeconds: 0,
  });
  const entries: TarEntry[] = ["a", "b", "c"].map((name) => ({
    header: header(name),
    content: [Buffer.from(`${name}12`)],
  }));
  const seen: string[] = [];
  for await (const { header: found, content } of decodeTar(encodeTar(entries, { signal }), { signal })) {
    seen.push(found.name === "b" ? (await collect(content as AsyncIterable<Uint8Array>)).toString() : found.name);
  }
  assert.deepEqual(seen, ["a", "b12", "c"]);
});

test("encodeTar refuses a content that is longer or shorter than stated", async () => {
  for (const size of [2, 4]) {
    const header: TarHeader = { name: "f", type: "file", mode: 0, uid: 0, gid: 0, size, mtimeSeconds: 0 };
    await assert.rejects(collect(encodeTar([{ header, content: [Buffer.from("123")] }], { signal })), BuildError);
  }
});

test("splitTarName never leads above the root", () => {
  assert.deepEqual(splitTarName("/../../a/./b//../c/"), ["a", "c"]);
  assert.deepEqual(splitTarName("./"), []);
  assert.equal(tarPadding(512), 0);
});
