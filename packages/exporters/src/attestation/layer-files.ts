import { join } from "node:path/posix";
import type { Remote, RemoteLayer } from "@buildkit-ts/cache";
import { decompress } from "@buildkit-ts/compression";
import type { Digest } from "@buildkit-ts/oci";
import { decodeTar, whiteoutPrefix } from "@buildkit-ts/tar";

/** Which layer of an image a file is from. Layers are read from the topmost one, and only as far as they are needed. */
export class LayerFiles {
  readonly #remote: Remote;
  readonly #pending: RemoteLayer[];
  readonly #found = new Map<string, Digest>();

  constructor(remote: Remote) {
    this.#remote = remote;
    this.#pending = [...remote.layers];
  }

  /** The topmost layer that has the file; that it was deleted in a later one does not count. */
  async find(path: string, options: { readonly signal: AbortSignal }): Promise<Digest | undefined> {
    const name = join("/", path);
    while (!this.#found.has(name)) {
      const layer = this.#pending.pop();
      if (layer === undefined) return undefined;
      await this.#read(layer, options);
    }
    return this.#found.get(name);
  }

  async #read({ descriptor }: RemoteLayer, options: { readonly signal: AbortSignal }): Promise<void> {
    const blob = await this.#remote.provider.open(descriptor, options);
    for await (const { header } of decodeTar(decompress(blob, options), options)) {
      const name = join("/", header.name).replace(/\/$/, "");
      const base = name.slice(name.lastIndexOf("/") + 1);
      if (!base.startsWith(whiteoutPrefix) && !this.#found.has(name)) this.#found.set(name, descriptor.digest);
    }
  }
}
