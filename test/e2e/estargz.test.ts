import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { busyboxContext } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { runOk, temporaryFolder } from "./support/processes.ts";

const tocDigest = "containerd.io/snapshot/stargz/toc.digest";
const uncompressedSize = "io.containers.estargz.uncompressed-size";

interface Layer {
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Image {
  readonly layout: string;
  readonly digest: string;
  readonly layers: readonly Layer[];
  readonly diffIds: readonly string[];
}

/** A step leaves the directories that its runtime mounts on. */
const rootNames = ["bin", "d", "dev", "note", "proc", "sys"];

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

suite("exports with compression=estargz", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("estargz"));
  let daemon: TestDaemon;
  let context: string;

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
    const lines = ["ARG BASE=scratch", "FROM scratch AS shell", "COPY busybox /bin/sh", "FROM $BASE"];
    const steps = [
      "COPY --from=shell /bin/sh /bin/sh",
      "RUN mkdir -p /d && echo one > /d/one && ln -sf one /d/link",
      "COPY note /",
    ];
    context = await busyboxContext(folder.path, [...lines, ...steps].join("\n"), { note: "note" });
  });

  const blobOf = (layout: string, digest: string): Buffer =>
    readFileSync(join(layout, "blobs/sha256", digest.slice("sha256:".length)));

  const readImage = (layout: string): Image => {
    const parse = (bytes: Buffer): unknown => JSON.parse(bytes.toString("utf8"));
    const index = parse(readFileSync(join(layout, "index.json"))) as { manifests: readonly [{ digest: string }] };
    const { digest } = index.manifests[0];
    const manifest = parse(blobOf(layout, digest)) as { layers: readonly Layer[]; config: { digest: string } };
    const config = parse(blobOf(layout, manifest.config.digest)) as { rootfs: { diff_ids: readonly string[] } };
    return { layout, digest, layers: manifest.layers, diffIds: config.rootfs.diff_ids };
  };

  const build = async (attributes: string, ...flags: readonly string[]): Promise<Image> => {
    const layout = mkdtempSync(join(folder.path, "layout-"));
    const output = `--output=type=oci,tar=false,dest=${layout},${attributes}`;
    const { code, output: log } = await daemon.buildx(["build", "--provenance=false", output, ...flags, context]);
    assert.equal(code, 0, log);
    return readImage(layout);
  };

  /** All that a manifest and a config say about layers is true. */
  const check = ({ layout, layers, diffIds }: Image): void => {
    assert.equal(layers.length, diffIds.length);
    for (const [index, { digest, annotations }] of layers.entries()) {
      const blob = blobOf(layout, digest);
      const tar = gunzipSync(blob);
      assert.equal(sha256(tar), diffIds[index]);
      if (annotations?.[tocDigest] === undefined) continue;
      assert.equal(annotations[uncompressedSize], String(tar.length));
      assert.equal(blob.toString("latin1", blob.length - 19, blob.length - 13), "STARGZ");
      const tocOffset = Number.parseInt(blob.toString("latin1", blob.length - 35, blob.length - 19), 16);
      const toc = gunzipSync(blob.subarray(tocOffset));
      const size = Number.parseInt(toc.toString("latin1", 124, 135), 8);
      assert.equal(sha256(toc.subarray(512, 512 + size)), annotations[tocDigest]);
    }
  };

  const isStargz = ({ annotations }: Layer): boolean => annotations?.[tocDigest] !== undefined;

  test("have layers with tables of contents, that other programs unpack", async () => {
    const image = await build("compression=estargz");
    check(image);
    assert.ok(image.layers.length >= 3 && image.layers.every(isStargz));
    const target = mkdtempSync(join(folder.path, "unpacked-"));
    await runOk("umoci", ["raw", "unpack", "--image", `${image.layout}:latest`, target]);
    assert.deepEqual(readdirSync(target).toSorted(), rootNames);
    assert.equal(readFileSync(join(target, "d/link"), "utf8"), "one\n");
  });

  test("turn layers of other kinds into their own, and back, where that is forced", async () => {
    const estargz = await build("compression=estargz,force-compression=true");
    const gzip = await build("compression=gzip,force-compression=true");
    for (const image of [estargz, gzip]) check(image);
    assert.ok(estargz.layers.every(isStargz));
    assert.ok(!gzip.layers.some(isStargz));
    assert.notDeepEqual(estargz.diffIds, gzip.diffIds);
    const again = await build("compression=estargz,force-compression=true");
    assert.equal(again.digest, estargz.digest);
  });

  test("are built from, and their layers stay as they are unless others are forced", async () => {
    const base = await build("compression=estargz,force-compression=true,name=x.io/base:one");
    const onto = ["--build-arg=BASE=base", `--build-context=base=oci-layout://${base.layout}:one`];
    const plain = await build("compression=gzip", ...onto);
    check(plain);
    assert.deepEqual(plain.layers.slice(0, base.layers.length), base.layers);
    assert.deepEqual(plain.diffIds.slice(0, base.layers.length), base.diffIds);
    const forced = await build("compression=gzip,force-compression=true", ...onto);
    check(forced);
    assert.ok(!forced.layers.some(isStargz));
    const target = mkdtempSync(join(folder.path, "files-"));
    await daemon.buildx(["build", ...onto, `--output=type=local,dest=${target}`, context]);
    assert.deepEqual(readdirSync(target).toSorted(), rootNames);
  });

  test("are the same with the same times, on another daemon", async () => {
    const attributes = "compression=estargz,force-compression=true,rewrite-timestamp=true";
    const epoch = "--build-arg=SOURCE_DATE_EPOCH=1700000000";
    const image = await build(attributes, epoch);
    check(image);
    assert.ok(image.layers.every(isStargz));
    await using other = await TestDaemon.start(mkdtempSync(join(folder.path, "other-")));
    const layout = mkdtempSync(join(folder.path, "layout-"));
    const output = `--output=type=oci,tar=false,dest=${layout},${attributes}`;
    const { code, output: log } = await other.buildx(["build", "--provenance=false", epoch, output, context]);
    assert.equal(code, 0, log);
    assert.deepEqual(readImage(layout).layers, image.layers);
  });

  test("go into caches, and back", async () => {
    const cache = join(folder.path, "cache");
    const to = `--cache-to=type=local,dest=${cache},mode=max,compression=estargz,force-compression=true`;
    await build("compression=estargz", to);
    await daemon.buildctlOk(["prune", "--all"]);
    const image = await build("compression=estargz", `--cache-from=type=local,src=${cache}`);
    check(image);
    assert.ok(image.layers.every(isStargz));
  });
});
