import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { decodeTar } from "@buildkit-ts/tar";
import { WorkerLayerCodec } from "./worker-layer-codec.ts";

const size = 8 << 20;

interface Toc {
  readonly entries: readonly { readonly offset: number; readonly chunkOffset?: number; readonly chunkSize?: number }[];
}

suite("layers with sparse files", { skip: process.getuid?.() !== 0 && "needs root" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "sparse-layers-"));
  const source = join(folder, "disk");
  const { signal } = new AbortController();
  const codec = new WorkerLayerCodec({ limits: { maxRatio: 10, allowanceBytes: 2 * size, maxEntries: 10 } });

  const pack = (name: string, ...flags: readonly string[]): string => {
    const path = join(folder, `${name}.tar`);
    execFileSync("tar", ["-cSf", path, ...flags, "-C", folder, name]);
    return path;
  };

  before(() => {
    const fd = openSync(source, "w");
    for (const offset of [0, 5 << 20]) writeSync(fd, Buffer.alloc(10_000, "data "), 0, 10_000, offset);
    ftruncateSync(fd, size);
    closeSync(fd);
  });
  after(async () => {
    await codec[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  for (const flags of [["--format=gnu"], ["--format=posix", "--sparse-version=0.0"], ["--format=posix"]]) {
    test(`are unpacked with their holes: ${flags.join(" ")}`, async () => {
      const blobPath = pack("disk", ...flags);
      const directory = join(folder, flags.join(""));
      mkdirSync(directory);
      const applied = await codec.apply(
        { path: blobPath, mediaType: "" },
        { directory, form: "overlay-upper" },
        { signal },
      );
      assert.equal(applied.diffId, `sha256:${createHash("sha256").update(readFileSync(blobPath)).digest("hex")}`);
      const made = join(directory, "disk");
      assert.ok(readFileSync(made).equals(readFileSync(source)));
      assert.ok(statSync(made).blocks <= Math.max(statSync(source).blocks, 256));
    });
  }

  test("have their zeros when they are made anew with other times", async () => {
    const outputPath = join(folder, "clamped");
    await codec.recompress(pack("disk"), "", {
      signal,
      outputPath,
      compression: { type: "uncompressed", ociMediaTypes: true },
      sourceDateEpoch: 1,
    });
    for await (const { header, content } of decodeTar(chunks(readFileSync(outputPath)), { signal })) {
      const parts: Uint8Array[] = [];
      for await (const part of content) parts.push(part);
      assert.equal(header.mtimeSeconds, 1);
      assert.ok(Buffer.concat(parts).equals(readFileSync(source)));
    }
  });

  for (const flags of [["--format=gnu"], ["--format=posix"]]) {
    test(`have their zeros as eStargz, whose table of contents speaks of those: ${flags.join(" ")}`, async () => {
      const outputPath = join(folder, "estargz");
      const made = await codec.recompress(pack("disk", ...flags), "", {
        signal,
        outputPath,
        compression: { type: "estargz", ociMediaTypes: true },
      });
      const blob = readFileSync(outputPath);
      const archive = gunzipSync(blob);
      assert.equal(made.diffId, `sha256:${createHash("sha256").update(archive).digest("hex")}`);
      // It comes after the end of the archive, which readers of tar do not look beyond.
      const json = archive.toString("latin1", archive.lastIndexOf('{\n\t"version"'), archive.lastIndexOf("\n}") + 2);
      const toc = JSON.parse(json) as Toc;
      for await (const { header, content } of decodeTar(chunks(archive), { signal })) {
        const parts: Uint8Array[] = [];
        for await (const part of content) parts.push(part);
        assert.equal(header.name, "disk");
        assert.ok(Buffer.concat(parts).equals(readFileSync(source)));
      }
      // Each chunk is a member that begins where the table says.
      const members = toc.entries.map(({ offset, chunkSize = size - (4 << 20), chunkOffset = 0 }) => {
        const stream = gunzipSync(blob.subarray(offset));
        return stream
          .subarray(0, chunkSize)
          .equals(readFileSync(source).subarray(chunkOffset, chunkOffset + chunkSize));
      });
      assert.deepEqual(members, [true, true]);
    });
  }

  test("are refused where what they would be is beyond the limits", async () => {
    const fd = openSync(join(folder, "bomb"), "w");
    ftruncateSync(fd, 2 ** 40);
    closeSync(fd);
    const blobPath = pack("bomb");
    const directory = join(folder, "bombed");
    mkdirSync(directory);
    const refused = { code: "resource_exhausted", message: /becomes larger than 16777216 bytes/ };
    await assert.rejects(
      codec.apply({ path: blobPath, mediaType: "" }, { directory, form: "merged" }, { signal }),
      refused,
    );
    const compression = { type: "uncompressed", ociMediaTypes: true } as const;
    const anew = { signal, outputPath: join(folder, "again"), compression, sourceDateEpoch: 1 };
    await assert.rejects(codec.recompress(blobPath, "", anew), refused);
    const stargz = {
      signal,
      outputPath: join(folder, "stargz"),
      compression: { ...compression, type: "estargz" },
    } as const;
    await assert.rejects(codec.recompress(blobPath, "", stargz), refused);
  });
});

async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
