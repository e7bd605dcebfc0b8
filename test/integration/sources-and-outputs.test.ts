import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  createWriteStream,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { ArchiveExporter, ImageExporter, LocalExporter, TarExporter } from "@buildkit-ts/exporters";
import { mountTemporarily } from "@buildkit-ts/mount";
import { hostPlatform } from "@buildkit-ts/oci";
import { type OutputTarget, shareDirectories, takeOutputs } from "@buildkit-ts/session/serving";
import {
  ImageSource,
  LocalSource,
  type MetadataRequest,
  RegistryOrigin,
  type SourceRequest,
} from "@buildkit-ts/sources";
import { TestRegistry } from "../e2e/support/registry.ts";
import { Parts, treeOf } from "./support/parts.ts";

let folder: string;
let parts: Parts;
let registry: TestRegistry;
let context: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "parts-"));
  context = join(folder, "context");
  mkdirSync(join(context, "sub"), { recursive: true });
  writeFileSync(join(context, "a.txt"), "a");
  writeFileSync(join(context, "sub/b.txt"), "b", { mode: 0o600 });
  registry = await TestRegistry.start(folder);
  parts = await Parts.open(join(folder, "root"));
});

after(async () => {
  await parts[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const platform = hostPlatform();
const local = () =>
  new LocalSource(parts.services).resolve({ identifier: "local://context", attributes: {}, platform, vertex: "" });
const input = (ref: ImmutableRef | undefined) => ({
  ref,
  refs: new Map(),
  metadata: new Map(),
  attestations: new Map(),
});

async function readTree(ref: ImmutableRef): Promise<Map<string, string>> {
  const { signal, progress } = parts;
  await using held = await ref.mount({ signal, progress });
  await using mounted = await mountTemporarily(held.mounts, { signal, onlyReads: true });
  const names = readdirSync(mounted.path, { recursive: true, encoding: "utf8" });
  return new Map(
    names
      .toSorted((a, b) => (a < b ? -1 : 1))
      .filter((name) => lstatSync(join(mounted.path, name)).isFile())
      .map((name) => [name, readFileSync(join(mounted.path, name), "utf8")]),
  );
}

test("a local source gives a version for each sync; an unchanged one is the same version", async () => {
  const session = await parts.connect([shareDirectories({ context })]);
  await using first = await treeOf(local(), parts.context(session));
  assert.deepEqual(
    [...(await readTree(first))],
    [
      ["a.txt", "a"],
      ["sub/b.txt", "b"],
    ],
  );
  await using again = await treeOf(local(), parts.context(session));
  assert.equal(again.id, first.id);
  writeFileSync(join(context, "a.txt"), "changed");
  await using second = await treeOf(local(), parts.context(session));
  assert.notEqual(second.id, first.id);
  assert.equal((await readTree(second)).get("a.txt"), "changed");
  assert.equal((await readTree(first)).get("a.txt"), "a", "a version in use does not change");
  assert.ok(parts.statuses.some(({ id, completed }) => id === "transferring context:" && completed !== undefined));
  assert.match((await local().cacheKey(0, parts.context(session))).key, /^session:context:sha256:/);
});

test("a version that nobody uses is gone after the next sync", async () => {
  const session = await parts.connect([shareDirectories({ context })], "other");
  const first = await treeOf(local(), parts.context(session));
  await first[Symbol.asyncDispose]();
  writeFileSync(join(context, "a.txt"), "third");
  await using _second = await treeOf(local(), parts.context(session));
  await assert.rejects(parts.cache.get(first.id, parts), { code: "not_found" });
});

test("an image is pushed, found again, pulled lazily, and its tree is the same", async () => {
  const session = await parts.connect([shareDirectories({ context })]);
  await using ref = await treeOf(local(), parts.context(session));
  const name = `${registry.host}/team/app:1`;
  const exporter = new ImageExporter(parts.services).resolve({ name, push: "true", compression: "zstd" });
  const { response, finalize } = await exporter.export(input(ref), parts.context(session));
  await finalize?.(parts.context(session));
  const digest = response["containerimage.digest"] ?? "";
  assert.equal(response["image.name"], name);
  const skopeo = (...args: string[]): string => execFileSync("skopeo", args, { encoding: "utf8" });
  const inspected = JSON.parse(skopeo("inspect", "--tls-verify=false", `docker://${name}`));
  assert.equal(inspected.Digest, digest);
  for (const id of [
    "exporting layers",
    `exporting manifest ${digest}`,
    "pushing layers",
    `pushing manifest for ${name}@${digest}`,
  ])
    assert.ok(
      parts.statuses.some((status) => status.id === id),
      id,
    );

  await using fresh = await Parts.open(join(folder, "fresh"));
  const other = await fresh.connect([]);
  const source = new ImageSource({ ...fresh.services, origin: new RegistryOrigin(fresh.services) });
  const instance = source.resolve({ identifier: `docker-image://${name}`, attributes: {}, platform, vertex: "" });
  const quick = await instance.cacheKey(0, fresh.context(other));
  const exact = await instance.cacheKey(1, fresh.context(other));
  assert.deepEqual([quick.pin, quick.done, exact.done], [digest, false, true]);
  await using pulled = await treeOf(instance, fresh.context(other));
  assert.equal(pulled.isLazy, true);
  const output = new ImageExporter(fresh.services);
  await output.resolve({ name: "unpacked" }).export(input(pulled), fresh.context(other));
  assert.equal(pulled.isLazy, true, "an image can be named without its files");
  const both = output.resolve({ name: "unpacked", unpack: "true", "rewrite-timestamp": "true" });
  await assert.rejects(both.export(input(pulled), fresh.context(other)), { message: /conflicts with "unpack"/ });
  await output.resolve({ name: "unpacked", unpack: "true" }).export(input(pulled), fresh.context(other));
  assert.equal(pulled.isLazy, false);
  assert.deepEqual(await readTree(pulled), await readTree(ref));
  assert.ok(fresh.statuses.some(({ id }) => id === `resolve ${name}`));

  // Pushed to another repository, the layers are mounted from the one that has them.
  const copy = new ImageExporter(fresh.services).resolve({ name: `${registry.host}/team/copy:1`, push: "true" });
  const copied = await copy.export(input(pulled), fresh.context(other));
  await copied.finalize?.(fresh.context(other));
  skopeo("inspect", "--tls-verify=false", `docker://${registry.host}/team/copy:1`);
});

test("an image without layers is an empty tree", async () => {
  const session = await parts.connect([]);
  const name = `${registry.host}/team/empty:1`;
  const exporter = new ImageExporter(parts.services).resolve({
    name,
    push: "true",
    "containerimage.config": JSON.stringify({ os: "linux", architecture: "amd64", config: { User: "me" } }),
  });
  const { finalize } = await exporter.export(input(undefined), parts.context(session));
  await finalize?.(parts.context(session));
  const inspected = execFileSync("skopeo", ["inspect", "--config", "--tls-verify=false", `docker://${name}`]);
  assert.equal(JSON.parse(inspected.toString()).config.User, "me", "the client's config is the image's");
  const source = new ImageSource({ ...parts.services, origin: new RegistryOrigin(parts.services) });
  const amd64 = { os: "linux", architecture: "amd64" };
  const request = { identifier: `docker-image://${name}`, attributes: {}, platform: amd64, vertex: "" };
  assert.equal(await source.resolve(request).snapshot(parts.context(session)), undefined);
});

function imageQuery(name: string, resolveMode: string): [SourceRequest, MetadataRequest] {
  return [
    { identifier: `docker-image://${name}`, attributes: {}, platform: hostPlatform(), vertex: "" },
    { resolveMode, attestationChain: false, predicateTypes: [], gitObjects: false, checksum: undefined },
  ];
}

test("a name that is not there is told as BuildKit tells it", async () => {
  const session = await parts.connect([]);
  const source = new ImageSource({ ...parts.services, origin: new RegistryOrigin(parts.services) });
  const name = `${registry.host}/team/nope:latest`;
  await assert.rejects(source.resolveMetadata(...imageQuery(name, "default"), parts.context(session)), {
    code: "not_found",
    message: `${name}: not found`,
  });
});

test("outputs reach the client: oci, docker, tar, local", async () => {
  const outputs = join(folder, "outputs");
  mkdirSync(outputs);
  const fileTo = (name: string) => ({
    kind: "file" as const,
    open: async () => createWriteStream(join(outputs, name)),
  });
  const session = await parts.connect([
    shareDirectories({ context }),
    takeOutputs(
      new Map<number, OutputTarget>([
        [0, fileTo("oci.tar")],
        [1, fileTo("docker.tar")],
        [2, fileTo("tree.tar")],
        [3, { kind: "directory", path: join(outputs, "tree"), mirror: false }],
        [4, { kind: "directory", path: join(outputs, "mirror"), mirror: true }],
      ]),
    ),
  ]);
  await using ref = await treeOf(local(), parts.context(session));
  const resolved = [
    new ArchiveExporter({ ...parts.services, variant: "oci" }).resolve({ name: "app:1" }),
    new ArchiveExporter({ ...parts.services, variant: "docker" }).resolve({ name: "app:1" }),
    new TarExporter(parts.services).resolve({ "source-date-epoch": "0" }),
    new LocalExporter(parts.services).resolve({}),
    new LocalExporter(parts.services).resolve({ mode: "delete" }),
  ];
  for (const [exporterIndex, exporter] of resolved.entries())
    await exporter.export(input(ref), { ...parts.context(session), exporterIndex });
  execFileSync("skopeo", ["inspect", `oci-archive:${outputs}/oci.tar:1`]);
  execFileSync("skopeo", ["inspect", `docker-archive:${outputs}/docker.tar:app:1`]);
  const listed = execFileSync("tar", ["tvf", join(outputs, "tree.tar")], { encoding: "utf8" });
  assert.deepEqual(listed.match(/\S+$/gm), ["a.txt", "sub/", "sub/b.txt"]);
  assert.equal(listed.match(/1970-01-01/g)?.length, 3);
  for (const name of ["tree", "mirror"]) assert.equal(readFileSync(join(outputs, name, "sub/b.txt"), "utf8"), "b");
});
