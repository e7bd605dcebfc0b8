import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { definitionToProto, ociLayout, source } from "@buildkit-ts/llb";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { runOk, temporaryFolder } from "./support/processes.ts";
import { type Solved, solve } from "./support/solve.ts";

const oci = "application/vnd.oci.image";
const docker = "application/vnd.docker";
const platform = { os: "linux", architecture: "amd64" };

interface Layer {
  readonly mediaType: string;
  /** As they are in the tar; a layer of none is a tar all the same. */
  readonly files: Readonly<Record<string, string>>;
  readonly compress?: (tar: Buffer) => Buffer;
  readonly extra?: Readonly<Record<string, unknown>>;
}

interface Layout {
  readonly path: string;
  /** Of the image. */
  readonly digest: string;
}

suite("images of a client's layout", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("image-layouts"));
  let daemon: TestDaemon;

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  /** A layout with one image, tagged `one`, whose layers are as given. */
  const makeLayout = async (layers: readonly Layer[]): Promise<Layout> => {
    const path = mkdtempSync(join(folder.path, "layout-"));
    const blobs = join(path, "blobs/sha256");
    mkdirSync(blobs, { recursive: true });
    const put = (bytes: Buffer): { digest: string; size: number } => {
      const hex = createHash("sha256").update(bytes).digest("hex");
      writeFileSync(join(blobs, hex), bytes);
      return { digest: `sha256:${hex}`, size: bytes.length };
    };
    const diffIds: string[] = [];
    const descriptors: unknown[] = [];
    for (const { mediaType, files, compress = (tar: Buffer) => tar, extra } of layers) {
      const tar = await tarOf(files);
      diffIds.push(`sha256:${createHash("sha256").update(tar).digest("hex")}`);
      descriptors.push({ mediaType, ...put(compress(tar)), ...extra });
    }
    const config = put(json({ ...platform, rootfs: { type: "layers", diff_ids: diffIds }, config: { Env: ["A=b"] } }));
    const mediaType = `${oci}.manifest.v1+json`;
    const manifest = put(
      json({
        schemaVersion: 2,
        mediaType,
        config: { mediaType: `${oci}.config.v1+json`, ...config },
        layers: descriptors,
      }),
    );
    const annotations = { "org.opencontainers.image.ref.name": "one" };
    writeFileSync(
      join(path, "index.json"),
      json({ schemaVersion: 2, manifests: [{ mediaType, ...manifest, annotations }] }),
    );
    writeFileSync(join(path, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
    return { path, digest: manifest.digest };
  };

  const tarOf = async (files: Readonly<Record<string, string>>): Promise<Buffer> => {
    const tree = mkdtempSync(join(folder.path, "tree-"));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(tree, name), text);
    await runOk("tar", [
      "--owner=0",
      "--group=0",
      "-C",
      tree,
      "-cf",
      `${tree}.tar`,
      ...readdirSync(tree),
      "-T",
      "/dev/null",
    ]);
    return readFileSync(`${tree}.tar`);
  };

  const buildFrom = async (
    base: string,
  ): Promise<{ readonly code: number | null; readonly output: string; readonly target: string }> => {
    const context = mkdtempSync(join(folder.path, "context-"));
    writeFileSync(join(context, "Dockerfile"), "FROM base\nCOPY Dockerfile /\n");
    const target = join(context, "out");
    const flags = ["--progress=plain", "--provenance=false", `--build-context=base=${base}`];
    const { code, output } = await daemon.buildx(["build", ...flags, `--output=type=local,dest=${target}`, context]);
    return { code, output, target };
  };

  const filesFrom = async (base: string): Promise<Record<string, string>> => {
    const { code, output, target } = await buildFrom(base);
    assert.equal(code, 0, `${output}\n${daemon.log()}`);
    const names = readdirSync(target).filter((name) => name !== "Dockerfile");
    return Object.fromEntries(names.map((name) => [name, readFileSync(join(target, name), "utf8")]));
  };

  const plain: Layer = { mediaType: `${oci}.layer.v1.tar+gzip`, files: { a: "one" }, compress: gzipSync };

  test("are found by tag and by digest", async () => {
    const { path, digest } = await makeLayout([plain]);
    assert.deepEqual(await filesFrom(`oci-layout://${path}:one`), { a: "one" });
    assert.deepEqual(await filesFrom(`oci-layout://${path}@${digest}`), { a: "one" });
    const missing = await buildFrom(`oci-layout://${path}@sha256:${"0".repeat(64)}`);
    assert.notEqual(missing.code, 0);
    assert.match(missing.output, /sha256:0{64}.*not found/);
  });

  test("are found by digest with our own client", async () => {
    const { path, digest } = await makeLayout([plain]);
    const context = mkdtempSync(join(folder.path, "own-"));
    writeFileSync(join(context, "Dockerfile"), "FROM base\n");
    const target = join(context, "out");
    const locals = ["--local", `context=${context}`, "--local", `dockerfile=${context}`];
    const base = ["--oci-layout", `store=${path}`, "--opt", `context:base=oci-layout://store@${digest}`];
    await daemon.buildctlOk([
      "build",
      "--frontend=dockerfile.v0",
      ...locals,
      ...base,
      `--output=type=local,dest=${target}`,
    ]);
    assert.deepEqual(readdirSync(target), ["a"]);
  });

  const forms: readonly (readonly [name: string, layer: Layer])[] = [
    ["uncompressed", { ...plain, mediaType: `${oci}.layer.v1.tar`, compress: (tar) => tar }],
    [
      "compressed with zstd",
      { ...plain, mediaType: `${oci}.layer.v1.tar+zstd`, compress: (tar) => zstdCompressSync(tar) },
    ],
    ["of Docker's type", { ...plain, mediaType: `${docker}.image.rootfs.diff.tar.gzip` }],
    [
      "that are not for distribution",
      {
        ...plain,
        mediaType: `${docker}.image.rootfs.foreign.diff.tar.gzip`,
        extra: { urls: ["http://127.0.0.1:1/layer"] },
      },
    ],
    [
      "in eStargz's form",
      {
        ...plain,
        compress: inMembers,
        extra: { annotations: { "containerd.io/snapshot/stargz/toc.digest": `sha256:${"1".repeat(64)}` } },
      },
    ],
  ];
  for (const [name, layer] of forms) {
    test(`have layers ${name}`, async () => {
      const { path } = await makeLayout([layer, { ...plain, files: { b: name } }]);
      assert.deepEqual(await filesFrom(`oci-layout://${path}:one`), { a: "one", b: name });
    });
  }

  test("have empty layers, the same one more than once, and none at all", async () => {
    const empty = { ...plain, files: {} };
    const { path } = await makeLayout([empty, plain, empty, plain, empty]);
    assert.deepEqual(await filesFrom(`oci-layout://${path}:one`), { a: "one" });
    const none = await makeLayout([]);
    assert.deepEqual(await filesFrom(`oci-layout://${none.path}:one`), {});
  });

  const layerNames = ["a", "b", "c"] as const;
  const solveLayout = async (
    layout: Layout,
    options: Parameters<typeof ociLayout>[1],
  ): Promise<Solved & { target: string }> => {
    const target = mkdtempSync(join(folder.path, "limited-"));
    const image = ociLayout(`x.io/y@${layout.digest}`, { storeId: "store", ...options });
    const solved = await solve(daemon, {
      definition: definitionToProto(image.marshal({ platform })),
      ociLayouts: { store: layout.path },
      exports: [{ type: "local", attributes: {}, target: { kind: "directory", path: target, mirror: false } }],
    });
    return { ...solved, target };
  };

  test("are refused where they are not what a checksum says", async () => {
    const layout = await makeLayout([plain]);
    const attempt = async (checksum: string): Promise<unknown> => {
      const attrs = new Map([
        ["oci.store", "store"],
        ["image.checksum", checksum],
      ]);
      const image = source(`oci-layout://x.io/y@${layout.digest}`, { attrs });
      const definition = definitionToProto(image.marshal({ platform }));
      return (await solve(daemon, { definition, ociLayouts: { store: layout.path } })).error;
    };
    assert.equal(await attempt(layout.digest), undefined);
    assert.match(String(await attempt(`sha256:${"0".repeat(64)}`)), /does not match expected checksum/);
    assert.match(String(await attempt("none")), /invalid image checksum none/);
  });

  test("give as many layers as are asked for", async () => {
    const layout = await makeLayout(layerNames.map((name) => ({ ...plain, files: { [name]: name } })));
    for (const [layerLimit, expected] of [
      [undefined, ["a", "b", "c"]],
      [1, ["a"]],
      [2, ["a", "b"]],
    ] as const) {
      const { error, target } = await solveLayout(layout, layerLimit === undefined ? {} : { layerLimit });
      assert.equal(error, undefined);
      assert.deepEqual(readdirSync(target), expected);
    }
  });
});

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Each file compressed by itself, and an index that nobody needs to read: a gzip file like any other. */
function inMembers(tar: Buffer): Buffer {
  const members: Buffer[] = [];
  for (let offset = 0; offset < tar.length; offset += 512) members.push(gzipSync(tar.subarray(offset, offset + 512)));
  return Buffer.concat(members);
}
