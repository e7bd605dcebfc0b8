import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { digestOf } from "@buildkit-ts/oci";
import { TestRegistry } from "@buildkit-ts/registry/testing";
import { encodeTarHeader, type TarHeader, tarEnd, tarPadding } from "@buildkit-ts/tar";
import { busyboxContext, shellLayer, shellStage } from "../e2e/support/busybox-context.ts";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { allocatedBytes } from "../e2e/support/disk-use.ts";
import { leftoversAfter } from "../e2e/support/leftovers.ts";
import { temporaryFolder } from "../e2e/support/processes.ts";
import { type Solved, solveDockerfile } from "../e2e/support/solve.ts";

const types = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  zstd: "application/vnd.oci.image.layer.v1.tar+zstd",
};
const architecture = process.arch === "x64" ? "amd64" : process.arch;
const describe = (mediaType: string, bytes: Uint8Array): object => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
});

interface Entry extends Partial<TarHeader> {
  readonly name: string;
  readonly content?: Uint8Array;
}
function tar(...entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(({ content = new Uint8Array(), ...header }) => [
    encodeTarHeader({ type: "file", mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 1, ...header, size: content.length }),
    content,
    Buffer.alloc(tarPadding(content.length)),
  ]);
  return Buffer.concat([...parts, tarEnd]);
}

/** A header whose size, and type, say what they like. */
function sizedHeader(size: number, flag = "0"): Buffer {
  const block = Buffer.from(
    encodeTarHeader({ name: "f", type: "file", mode: 0o644, uid: 0, gid: 0, size: 0, mtimeSeconds: 1 }),
  );
  block.write(size.toString(8).padStart(11, "0"), 124, "latin1");
  block.write(flag, 156, "latin1");
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** A file of so many zeros, of which nothing is stored. */
function sparseFile(size: number): Buffer {
  const records = `22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n26 GNU.sparse.numblocks=0\n`;
  const length = `NN GNU.sparse.size=${size}\n`.length;
  const body = Buffer.from(`${records}${length} GNU.sparse.size=${size}\n`);
  return Buffer.concat([
    sizedHeader(body.length, "x"),
    body,
    Buffer.alloc(tarPadding(body.length)),
    sizedHeader(0),
    tarEnd,
  ]);
}

/** Images and archives that are made to fill disks or memory, to lead out of their trees, or never to end. */
suite("a hostile image", () => {
  const folder = temporaryFolder("hostile-images");
  const victim = join(folder.path, "victim");
  let daemon: TestDaemon;
  let registry: TestRegistry;
  let shell: Buffer;
  let images = 0;

  before(async () => {
    mkdirSync(victim);
    writeFileSync(join(victim, "canary"), "canary");
    writeFileSync(join(folder.path, "none.toml"), '[unpack]\nmaxRatio = 100\nallowance = "4MB"\nmaxEntries = 2000\n');
    registry = await TestRegistry.start();
    daemon = await TestDaemon.start(folder.path);
    shell = await shellLayer(folder.path);
  });

  after(async () => {
    assert.deepEqual(readdirSync(victim), ["canary"]);
    assert.equal(readFileSync(join(victim, "canary"), "utf8"), "canary");
    assert.deepEqual(await leftoversAfter(daemon.root, { timeoutMs: 5000 }), []);
    assert.doesNotMatch(daemon.log(), /unhandled|TypeError|RangeError/i);
    await daemon[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const build = async (lines: string, files: Readonly<Record<string, Uint8Array>> = {}): Promise<Solved> => {
    const context = await busyboxContext(folder.path, lines);
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(context, name), bytes);
    return await solveDockerfile(daemon, context, { signal: AbortSignal.timeout(60_000) });
  };
  const newName = (): string => {
    images += 1;
    return `hostile${images}`;
  };
  const putManifest = (name: string, manifest: unknown, mediaType = types.manifest): string => {
    const bytes = typeof manifest === "string" ? Buffer.from(manifest) : Buffer.from(JSON.stringify(manifest));
    registry.putManifest(name, { mediaType, bytes }, "latest");
    return `${registry.host}/${name}:latest`;
  };
  /** An image of a shell and of these layers. */
  const putImage = (
    ...layers: readonly { readonly tar: Uint8Array; readonly packed?: Uint8Array; readonly type?: string }[]
  ): string => {
    const name = newName();
    const all = [{ tar: shell }, ...layers].map((layer) => ({ packed: layer.tar, type: types.layer, ...layer }));
    const rootfs = { type: "layers", diff_ids: all.map((layer) => digestOf(layer.tar)) };
    const config = Buffer.from(JSON.stringify({ architecture, os: "linux", config: { Env: ["PATH=/bin"] }, rootfs }));
    for (const blob of [config, ...all.map(({ packed }) => packed)]) registry.putBlob(name, blob);
    return putManifest(name, {
      schemaVersion: 2,
      mediaType: types.manifest,
      config: describe(types.config, config),
      layers: all.map(({ packed, type }) => describe(type, packed)),
    });
  };

  const zeros = tar({ name: "zeros", content: Buffer.alloc(64 << 20) });
  const bombs: readonly (readonly [string, Uint8Array, string])[] = [
    ["gzip", gzipSync(zeros), types.gzip],
    ["zstd", zstdCompressSync(zeros), types.zstd],
  ];
  for (const [name, packed, type] of bombs) {
    test(`that is a bomb of ${name} is refused before it has filled anything`, async () => {
      const before = allocatedBytes(daemon.root);
      const { error } = await build(`FROM ${putImage({ tar: zeros, packed, type })}\nRUN true\n`);
      assert.match(String(error), /Cannot unpack archive: it becomes larger than \d+ bytes, more than 100 times/);
      const added = await build(`FROM scratch\nADD bomb.tar /\n`, { "bomb.tar": packed });
      assert.match(String(added.error), /Cannot unpack archive: it becomes larger than/);
      await daemon.buildctlOk(["prune", "--all"]);
      assert.ok(allocatedBytes(daemon.root) < before + (16 << 20));
    });
  }

  test("of very many entries is refused", async () => {
    const many = tar(...Array.from({ length: 2001 }, (_, index) => ({ name: `${index}` })));
    const { error } = await build(`FROM ${putImage({ tar: many })}\nRUN true\n`);
    assert.match(String(error), /Cannot unpack archive: it has more than 2000 entries/);
    const added = await build("FROM scratch\nADD many.tar /\n", { "many.tar": many });
    assert.match(String(added.error), /it has more than 2000 entries/);
  });

  test("whose zstd frames want gigabytes of window is refused", async () => {
    // A frame header: magic, no single segment, a window of 2 GB; then a block that is not there.
    const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00]);
    const { error } = await build(`FROM ${putImage({ tar: zeros, packed: frame, type: types.zstd })}\nRUN true\n`);
    assert.match(String(error), /Cannot decompress "zstd" stream/);
  });

  test("that is whole but for what it links to is the image's own, and so is what is added", async () => {
    const tricks = tar(
      { name: "out", type: "symlink", linkName: victim },
      { name: "out/new", content: Buffer.from("new") },
      { name: "up", type: "symlink", linkName: "../../../../../../../.." },
      { name: `up${victim}/canary`, content: Buffer.from("changed") },
      { name: "../../../../../../..//dots", content: Buffer.from("dots") },
      { name: "link", type: "symlink", linkName: "out" },
      { name: "hard", type: "hardlink", linkName: "link" },
      { name: "hard/again", content: Buffer.from("again") },
      { name: "twice", content: Buffer.from("first") },
      { name: "twice", type: "directory", mode: 0o755 },
      { name: "twice", type: "symlink", linkName: victim },
      { name: "twice", content: Buffer.from("last") },
      { name: "suid", mode: 0o4755, content: Buffer.from("x") },
      { name: "null", type: "character", deviceMajor: 1, deviceMinor: 3 },
      { name: "out/.wh.canary" },
      { name: "out/.wh..wh..opq" },
    );
    const look = "RUN cat /twice && ls /dots /suid && ls -l /null\n";
    const pulled = await build(`FROM ${putImage({ tar: tricks })}\n${look}`);
    assert.equal(pulled.error, undefined);
    assert.match(pulled.logs, /last/);
    const added = await build(`${shellStage}ADD tricks.tar /\n${look}`, { "tricks.tar": tricks });
    assert.equal(added.error, undefined);
    assert.match(added.logs, /last/);
  });

  const refused: readonly (readonly [what: string, layer: () => Uint8Array, expected: RegExp])[] = [
    [
      "a hard link to a file of the machine",
      () => tar({ name: "x", type: "hardlink", linkName: `../../../../../..${victim}/canary` }),
      /Cannot unpack layer entry "x"/,
    ],
    ["a whiteout of its parent", () => tar({ name: "d/.wh..." }), /invalid whiteout name/],
    ["a name of two megabytes", () => sizedHeader(2 << 20, "L"), /a meta entry exceeds 1 MiB/],
    ["a name of eight gigabytes", () => sizedHeader(2 ** 33 - 1, "x"), /a meta entry exceeds 1 MiB/],
    ["a sparse file of no known format", () => sizedHeader(10, "S"), /a sparse file is of no known format/],
    ["a sparse file that fills disks", () => sparseFile(2 ** 40), /becomes larger than \d+ bytes, more than 100 times/],
    ["a sparse file of petabytes", () => sparseFile(2 ** 52), /becomes larger than \d+ bytes, more than 100 times/],
    ["a name longer than names are", () => tar({ name: "n".repeat(5000) }), /Cannot unpack layer entry "nnn/],
    [
      "a path deeper than paths are",
      () => tar({ name: "d/".repeat(100_000), type: "directory" }),
      /Cannot unpack layer entry "d\/d/,
    ],
    ["a file that ends before its size", () => sizedHeader(2 ** 33 - 1), /it ends in the middle of an entry/],
    [
      "an entry whose attributes are larger than any",
      () => tar({ name: "x", xattrs: new Map([["user.x", Buffer.alloc(200_000)]]) }),
      /Cannot unpack layer entry "x"/,
    ],
    ["bytes that are no archive", () => Buffer.alloc(5000, "no archive "), /Cannot read tar/],
  ];
  for (const [what, layer, expected] of refused) {
    test(`with ${what} is refused`, async () => {
      const { error } = await build(`FROM ${putImage({ tar: layer() })}\nRUN true\n`);
      assert.match(String(error), expected);
    });
  }

  const config = Buffer.from(JSON.stringify({ architecture, os: "linux", rootfs: { type: "layers", diff_ids: [] } }));
  const manifestOf = (fields: object): object => ({
    schemaVersion: 2,
    mediaType: types.manifest,
    config: describe(types.config, config),
    layers: [],
    ...fields,
  });
  const documents: readonly (readonly [what: string, put: (name: string) => string, expected: RegExp])[] = [
    [
      "that is an index of itself, as far as digests allow",
      (name) => {
        // Each index names the one before it: a cycle would need two documents that hold each other's digest.
        let inner = Buffer.from(JSON.stringify(manifestOf({})));
        let type = types.manifest;
        for (let depth = 0; depth < 8; depth += 1) {
          registry.putManifest(name, { mediaType: type, bytes: inner });
          const manifests = [describe(type, inner)];
          inner = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: types.index, manifests }));
          type = types.index;
        }
        return putManifest(name, inner.toString(), types.index);
      },
      /its indexes are nested too deeply/,
    ],
    [
      "of a million layers",
      (name) =>
        putManifest(
          name,
          manifestOf({
            layers: Array.from({ length: 30_000 }, () => ({ mediaType: "", digest: digestOf(config), size: 1 })),
          }),
        ),
      /"layers" is no list of descriptors/,
    ],
    [
      "whose manifest is larger than any",
      (name) => putManifest(name, manifestOf({ annotations: { x: "x".repeat(9 << 20) } })),
      /larger than \d+ bytes/,
    ],
    [
      "whose manifest is nested without end",
      (name) => putManifest(name, `{"layers":${"[".repeat(1 << 20)}`),
      /not JSON/,
    ],
    [
      "whose config says that it is larger than any",
      (name) =>
        putManifest(name, manifestOf({ config: { mediaType: types.config, digest: digestOf(config), size: 2 ** 40 } })),
      /bytes are more than/,
    ],
    [
      "whose config is larger than it says",
      (name) => {
        registry.putBlob(name, config);
        return putManifest(
          name,
          manifestOf({ config: { mediaType: types.config, digest: digestOf(config), size: 5 } }),
        );
      },
      /larger than 5 bytes|wrong|data/,
    ],
    [
      "whose layer is smaller than it says",
      (name) => {
        registry.putBlob(name, config);
        const layer = { ...describe(types.layer, config), size: config.length + 5 };
        return putManifest(name, manifestOf({ layers: [layer] }));
      },
      /mismatched image rootfs and manifest layers/,
    ],
    [
      "whose layer has a negative size",
      (name) => putManifest(name, manifestOf({ layers: [{ ...describe(types.layer, config), size: -1 }] })),
      /invalid descriptor/,
    ],
    [
      "whose layer's digest is a path",
      (name) =>
        putManifest(
          name,
          manifestOf({ layers: [{ mediaType: types.layer, digest: "sha256:../../../../etc/passwd", size: 1 }] }),
        ),
      /invalid descriptor/,
    ],
    ["that is a picture", (name) => putManifest(name, "GIF89a", "image/gif"), /\(image\/gif\) from remote: not found/],
    ["that is null", (name) => putManifest(name, "null"), /not a JSON object/],
  ];
  for (const [what, put, expected] of documents) {
    test(`${what} is refused`, async () => {
      const { error } = await build(`FROM ${put(newName())}\nCOPY busybox /\n`);
      assert.match(String(error), expected);
    });
  }

  test("whose config is nested without end is built upon or refused, and ends nothing", async () => {
    const name = newName();
    for (const nested of [
      `{"x":${"[".repeat(300_000)}${"]".repeat(300_000)}}`,
      `${"[".repeat(300_000)}${"]".repeat(300_000)}`,
    ]) {
      const deep = Buffer.from(
        `{"architecture":"${architecture}","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"y":${nested}}`,
      );
      registry.putBlob(name, deep);
      const image = putManifest(name, manifestOf({ config: describe(types.config, deep) }));
      const { error } = await build(`FROM ${image}\nCOPY busybox /\n`);
      if (error instanceof Error) assert.match(error.message, /nested|deep|depth|invalid|Cannot/);
    }
  });

  test("of hundreds of layers is built upon", async () => {
    const layers = Array.from({ length: 200 }, (_, index) => ({
      tar: tar({ name: `f${index}`, content: Buffer.from("x") }),
    }));
    const { error, logs } = await build(`FROM ${putImage(...layers)}\nRUN set -- /f*; echo $# files\n`);
    assert.equal(error, undefined);
    assert.match(logs, /200 files/);
  });
});
