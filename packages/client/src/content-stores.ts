import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import { parseBool } from "@buildkit-ts/gotext";
import { BlobDirectory } from "@buildkit-ts/session/serving";
import type { BuildRequest, CacheEntry } from "./build-request.ts";
import { type EntryName, findIndexEntry, type IndexEntry, putIndexEntry } from "./oci-index.ts";
import { removeUnreferenced } from "./remove-unreferenced.ts";

/** The directories of blobs that a build reads and writes on the client's machine: local caches and OCI layouts. */
export class ContentStores {
  /** By the id that the daemon uses. */
  readonly byId: Map<string, BlobDirectory> = new Map();
  /** The caches to read, without those that are not there. */
  readonly cacheImports: CacheEntry[] = [];
  readonly #cacheTags = new Map<string, string>();
  readonly #resets: string[] = [];
  readonly #layouts: string[] = [];

  /** @throws {BuildError} `invalid_argument` */
  static forBuild(request: BuildRequest): ContentStores {
    const stores = new ContentStores();
    for (const entry of request.cacheExports ?? []) stores.#addExport(entry);
    for (const entry of request.cacheImports ?? []) stores.#addImport(entry);
    for (const [id, path] of Object.entries(request.ociLayouts ?? {})) {
      stores.byId.set(`oci:${id}`, new BlobDirectory(existingLayout(path)));
    }
    for (const { target, type } of request.exports ?? []) {
      if (target?.kind !== "store") continue;
      if (stores.byId.has("export")) {
        throw new BuildError("invalid_argument", `oci store key "export" already exists: only one ${type} output`);
      }
      mkdirSync(target.path, { recursive: true });
      stores.byId.set("export", new BlobDirectory(target.path));
      stores.#layouts.push(target.path);
    }
    return stores;
  }

  /** Enters what the build wrote into the directories' indexes, and clears those that shall hold nothing else. */
  async tag(response: Readonly<Record<string, string>>): Promise<void> {
    const cache = response["cache.manifest"];
    if (cache !== undefined && cache !== "") {
      for (const [path, tag] of this.#cacheTags) putIndexEntry(path, JSON.parse(cache) as IndexEntry, [{ tag }]);
      for (const path of this.#resets) {
        const store = this.byId.get(`local:${path}`);
        if (store !== undefined) await removeUnreferenced(path, store);
      }
    }
    const image = response["containerimage.descriptor"];
    if (image === undefined || image === "") return;
    const descriptor = JSON.parse(Buffer.from(image, "base64").toString("utf8")) as IndexEntry;
    const names: EntryName[] = response["image.name"]?.split(",").map((name) => ({ name })) ?? [{ tag: "latest" }];
    for (const path of this.#layouts) putIndexEntry(path, descriptor, names);
  }

  #addExport({ type, attributes }: CacheEntry): void {
    if (type === "registry" && !attributes["ref"]) {
      throw new BuildError("invalid_argument", "registry cache exporter requires ref");
    }
    if (type !== "local") return;
    const path = attributes["dest"];
    if (path === undefined || path === "")
      throw new BuildError("invalid_argument", "local cache exporter requires dest");
    mkdirSync(path, { recursive: true });
    this.byId.set(`local:${path}`, new BlobDirectory(path));
    this.#cacheTags.set(path, attributes["tag"] ?? "latest");
    if (isTrue("reset", attributes["reset"])) this.#resets.push(path);
  }

  #addImport(entry: CacheEntry): void {
    if (entry.type === "registry" && !entry.attributes["ref"]) {
      throw new BuildError("invalid_argument", "registry cache importer requires ref");
    }
    if (entry.type !== "local") {
      this.cacheImports.push(entry);
      return;
    }
    const path = entry.attributes["src"];
    if (path === undefined || path === "")
      throw new BuildError("invalid_argument", "local cache importer requires src");
    const digest = entry.attributes["digest"] ?? findIndexEntry(path, entry.attributes["tag"] ?? "latest")?.digest;
    // A cache that is not there never fails a build.
    if (digest === undefined || !existsSync(join(path, "blobs", ...digest.split(":", 2)))) return;
    this.byId.set(`local:${path}`, new BlobDirectory(path));
    this.cacheImports.push({ type: "local", attributes: { ...entry.attributes, digest } });
  }
}

function isTrue(name: string, value: string | undefined): boolean {
  const flag = value === undefined ? false : parseBool(value);
  if (flag !== undefined) return flag;
  throw new BuildError(
    "invalid_argument",
    `failed to parse ${name} attribute: invalid syntax "${value?.slice(0, 100)}"`,
  );
}

function existingLayout(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return path;
  throw new BuildError("invalid_argument", `oci-layout context at ${path} failed to initialize: no such directory`);
}
