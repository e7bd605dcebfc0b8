import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { BuildError } from "@buildkit-ts/errdefs";
import { WorkerLayerCodec } from "@buildkit-ts/layers";
import { encodeTarHeader, tarEnd, tarPadding } from "@buildkit-ts/tar";
import fc from "fast-check";

const isNightly = process.env["NIGHTLY"] === "1";

suite("any archive as a layer", { skip: process.getuid?.() !== 0 && "needs root" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "fuzz-layers-"));
  const outside = join(folder, "outside");
  const { signal } = new AbortController();
  let codec: WorkerLayerCodec;
  let runs = 0;

  before(() => {
    mkdirSync(join(outside, "d"), { recursive: true });
    writeFileSync(join(outside, "canary"), "canary");
    codec = new WorkerLayerCodec({ limits: { maxRatio: 0, allowanceBytes: 0, maxEntries: 100 } });
  });
  after(async () => {
    await codec[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  // Few names, so that entries meet: links to links, files below links, marks of what is there.
  const part = fc.constantFrom("a", "b", "..", ".", "", ".wh.a", ".wh..wh..opq", ".wh...", "d", "canary");
  const path = fc
    .tuple(
      fc.constantFrom("", "/", "../../../../../..", `../../../../../../..${outside}`),
      fc.array(part, { minLength: 1, maxLength: 4 }),
    )
    .map(([start, parts]) => [start, ...parts].filter((name, index) => index === 0 || name !== "").join("/"));
  const entry = fc.record({
    name: path,
    type: fc.constantFrom("file", "hardlink", "symlink", "character", "block", "directory", "fifo"),
    linkName: fc.oneof(path, fc.constant(outside), fc.constant(`${outside}/canary`)),
    content: fc.uint8Array({ maxLength: 600 }),
  });

  const pack = (entries: readonly (typeof entry extends fc.Arbitrary<infer T> ? T : never)[]): Buffer => {
    const blocks = entries.flatMap(({ name, type, linkName, content }) => {
      const size = type === "file" ? content.length : 0;
      const isLink = type === "symlink" || type === "hardlink";
      const clean = type === "directory" ? `${name}/` : name.replace(/\/+$/, "");
      const header = { name: clean || "x", type, mode: 0o755, uid: 0, gid: 0, mtimeSeconds: 1, size };
      const device = type === "character" || type === "block" ? { deviceMajor: 1, deviceMinor: 3 } : {};
      const encoded = encodeTarHeader({ ...header, ...device, ...(isLink && { linkName: linkName || "x" }) });
      return [encoded, content.subarray(0, size), Buffer.alloc(tarPadding(size))];
    });
    return Buffer.concat([...blocks, tarEnd]);
  };

  const unpack = async (bytes: Uint8Array, form: "overlay-upper" | "merged"): Promise<void> => {
    runs += 1;
    const blob = join(folder, `blob-${runs}`);
    const directory = join(folder, `tree-${runs}`);
    mkdirSync(directory);
    writeFileSync(blob, bytes);
    try {
      await codec.apply({ path: blob, mediaType: "" }, { directory, form }, { signal });
    } catch (error) {
      assert.ok(error instanceof BuildError, String(error));
      assert.ok(["invalid_argument", "unimplemented", "resource_exhausted"].includes(error.code), error.message);
    } finally {
      assert.deepEqual(readdirSync(outside).toSorted(), ["canary", "d"]);
      assert.deepEqual(readdirSync(join(outside, "d")), []);
      assert.equal(readFileSync(join(outside, "canary"), "utf8"), "canary");
      rmSync(directory, { recursive: true });
      rmSync(blob);
    }
  };

  test("of tricks is unpacked or refused, and changes nothing outside its tree", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { minLength: 1, maxLength: 12 }),
        fc.constantFrom("overlay-upper" as const, "merged" as const),
        async (entries, form) => await unpack(pack(entries), form),
      ),
      { numRuns: isNightly ? 5000 : 150 },
    );
  });

  test("that is damaged, compressed or not, is unpacked or refused", async () => {
    const damage = fc.array(fc.tuple(fc.nat(1e6), fc.nat(255)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 5 }), damage, fc.boolean(), async (entries, changes, isPacked) => {
        const whole = isPacked ? gzipSync(pack(entries)) : pack(entries);
        for (const [at, value] of changes) whole[at % whole.length] = value;
        await unpack(whole, "merged");
      }),
      { numRuns: isNightly ? 3000 : 100 },
    );
  });
});
