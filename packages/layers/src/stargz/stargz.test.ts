import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { encodeTarHeader, type TarHeader, tarEnd, tarPadding } from "@buildkit-ts/tar";
import { WorkerLayerCodec } from "../worker-layer-codec.ts";
import { StargzCompressor, type StargzResult } from "./stargz-compressor.ts";
import { encodeStargzFooter, findStargzPayload } from "./stargz-footer.ts";

type Entry = Partial<TarHeader> & { readonly name: string; readonly content?: Uint8Array };

function tar(...entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(({ content = new Uint8Array(), ...header }) => [
    encodeTarHeader({ type: "file", mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 1, ...header, size: content.length }),
    content,
    Buffer.alloc(tarPadding(content.length)),
  ]);
  return Buffer.concat([...parts, tarEnd]);
}

const big = Buffer.alloc((9 << 20) + 5, "0123456789");
const everything = tar(
  { name: "d/", type: "directory", mode: 0o1755, uid: 1000, gid: 2000, userName: "me", groupName: "we" },
  { name: "d/big", content: big, mtimeSeconds: 981173106, mtimeNanoseconds: 500_000_000, uid: 1000, userName: "me" },
  { name: "d/exactly", content: big.subarray(0, 4 << 20), uid: 1000, userName: "you" },
  { name: "empty <&>\u2028", mtimeSeconds: 0 },
  {
    name: "bad\udcff\udcc3 \\udcff",
    content: Buffer.from("x"),
    mode: 0o4755,
    xattrs: new Map([["user.x", big.subarray(0, 5)]]),
  },
  { name: "n".repeat(150), content: Buffer.from("long") },
  { name: "hard", type: "hardlink", linkName: "d/big" },
  { name: "link", type: "symlink", linkName: "../ünï" },
  { name: "null", type: "character", deviceMajor: 1, deviceMinor: 3 },
  { name: "disk", type: "block", deviceMajor: 8, deviceMinor: 1 },
  { name: "fifo", type: "fifo" },
);

interface Toc {
  readonly entries: readonly { name: string; offset?: number; chunkOffset?: number; chunkDigest?: string }[] | null;
}

interface Packed extends StargzResult {
  readonly bytes: Buffer;
  readonly toc: string;
}

async function pack(archive: Uint8Array, writeBytes = archive.length): Promise<Packed> {
  const parts: Buffer[] = [];
  const added: Buffer[] = [];
  using compressor = new StargzCompressor({
    level: 6,
    sink: (chunk) => void parts.push(Buffer.from(chunk)),
    onAdded: (bytes) => void added.push(Buffer.from(bytes)),
  });
  for (let at = 0; at < archive.length; at += writeBytes) await compressor.write(archive.subarray(at, at + writeBytes));
  await compressor.finish();
  const bytes = Buffer.concat(parts);
  const [header, ...rest] = added;
  const size = Number.parseInt(header?.toString("latin1", 124, 135) ?? "", 8);
  assert.ok(gunzipSync(bytes).equals(Buffer.concat([archive, ...added])));
  return { ...compressor.result, bytes, toc: Buffer.concat(rest).toString("utf8", 0, size) };
}

suite("eStargz layers", () => {
  const folder = mkdtempSync(join(tmpdir(), "stargz-"));
  after(() => rmSync(folder, { recursive: true }));

  test("have the table of contents that the reference implementation writes, but for where members lie", async () => {
    const { toc, tocDigest, uncompressedSize, bytes } = await pack(everything);
    const expected = readFileSync(new URL("../../testdata/stargz-toc.json", import.meta.url), "utf8");
    assert.equal(toc.replace(/"offset": \d+/g, '"offset": 0'), expected);
    assert.equal(tocDigest, `sha256:${createHash("sha256").update(toc).digest("hex")}`);
    assert.equal(uncompressedSize, gunzipSync(bytes).length);
  });

  test("are the same bytes however they are written", async () => {
    const { bytes } = await pack(everything);
    for (const writeBytes of [1, 511, 70_000, 1 << 20].slice(process.env["NIGHTLY"] === "1" ? 0 : 1))
      assert.ok((await pack(everything, writeBytes)).bytes.equals(bytes), `${writeBytes} bytes at a time`);
  });

  test("can be read file by file", async () => {
    const { toc, bytes } = await pack(everything);
    const { entries } = JSON.parse(toc) as Toc;
    const chunks = entries?.filter(({ chunkDigest }) => chunkDigest !== undefined) ?? [];
    assert.equal(chunks.length, 6);
    for (const { offset = 0, chunkOffset = 0, chunkDigest } of chunks) {
      const next = chunks.find((other) => (other.offset ?? 0) > offset)?.offset ?? bytes.length;
      const member = gunzipSync(bytes.subarray(offset, next));
      const found = [4 << 20, (1 << 20) + 5, 4, 1].some(
        (size) => `sha256:${createHash("sha256").update(member.subarray(0, size)).digest("hex")}` === chunkDigest,
      );
      assert.ok(found, `content at ${chunkOffset}`);
    }
  });

  test("say where their own archive ends, and others that claim to be some do not", async () => {
    const { bytes } = await pack(everything);
    const path = join(folder, "blob");
    const payloadOf = (blob: Uint8Array): number | undefined => {
      writeFileSync(path, blob);
      return findStargzPayload(path);
    };
    const payload = payloadOf(bytes);
    assert.ok(payload !== undefined && gunzipSync(bytes.subarray(0, payload)).equals(everything));
    const footer = encodeStargzFooter(payload);
    const twoEntries = Buffer.concat([tar({ name: "stargz.index.json" }).subarray(0, 512), tar({ name: "hidden" })]);
    assert.equal(footer.length, 51);
    for (const blob of [
      bytes.subarray(0, -1),
      footer,
      Buffer.alloc(0),
      Buffer.from("short"),
      Buffer.concat([bytes.subarray(0, -51), encodeStargzFooter(payload + 1)]),
      Buffer.concat([bytes.subarray(0, -51), encodeStargzFooter(0)]),
      Buffer.concat([bytes.subarray(0, -51), encodeStargzFooter(2 ** 50)]),
      Buffer.concat([everything, footer]),
      // What comes after the table of contents is a part of the layer, for those who unpack it.
      Buffer.concat([bytes.subarray(0, payload), gzipSync(twoEntries), footer]),
    ])
      assert.equal(payloadOf(blob), undefined);
  });

  test("are not made of archives with a table of contents, nor of sparse files as they are", async () => {
    await assert.rejects(pack(tar({ name: "./stargz.index.json" })), { code: "invalid_argument" });
    writeFileSync(join(folder, "sparse"), "");
    truncateSync(join(folder, "sparse"), 1 << 20);
    const sparse = execFileSync("tar", ["-cSf", "-", "-C", folder, "sparse"], { maxBuffer: 1 << 24 });
    await assert.rejects(pack(sparse), { code: "unimplemented" });
  });

  test("without entries have an empty table", async () => {
    assert.deepEqual(JSON.parse((await pack(tarEnd)).toc), { version: 1, entries: null });
  });

  test("become ordinary ones by the archive that they were made of", async () => {
    await using codec = new WorkerLayerCodec();
    const { signal } = new AbortController();
    const source = join(folder, "source.tar");
    writeFileSync(source, everything);
    const recompress = async (from: string, type: "estargz" | "gzip"): Promise<{ path: string; diffId: string }> => {
      const path = join(folder, type);
      const compression = { type, ociMediaTypes: true } as const;
      const made = await codec.recompress(from, "", { signal, outputPath: path, compression });
      assert.equal(made.isOtherArchive, true);
      return { path, diffId: made.diffId };
    };
    const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const stargz = await recompress(source, "estargz");
    assert.equal(stargz.diffId, sha256(gunzipSync(readFileSync(stargz.path))));
    const gzip = await recompress(stargz.path, "gzip");
    assert.equal(gzip.diffId, sha256(everything));
    assert.ok(gunzipSync(readFileSync(gzip.path)).equals(everything));
  });
});
