import { type Clock, systemClock } from "@buildkit-ts/async";
import type { ContentProvider } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor, Digest, Reference } from "@buildkit-ts/oci";
import { Authorizer } from "./authorizer.ts";
import { BlobStream } from "./blob-stream.ts";
import { type CheckedEndpoint, checkEndpoint } from "./check-endpoint.ts";
import { Connections } from "./connections.ts";
import { HttpSender } from "./http-sender.ts";
import { type FetchedManifest, fetchManifest, maxManifestBytes, resolveManifest, verifyDigest } from "./manifests.ts";
import { type BlobToPush, type PushOutcome, pushBlob, pushManifest } from "./push.ts";
import type { PushTarget } from "./push-request.ts";
import { fetchReferrers } from "./referrers.ts";
import { endpointsOf, type RegistryConfig, type RegistryEndpoint } from "./registry-config.ts";
import { RegistryExchange, type RegistryRequestOptions } from "./registry-exchange.ts";
import { repeatDamaged } from "./retry-policy.ts";

export interface RegistryClientOptions {
  readonly config?: RegistryConfig;
  readonly clock?: Clock;
  /** Blobs in transfer at a time for each registry; default 4. */
  readonly maxTransfers?: number;
  readonly userAgent?: string;
}

/**
 * Reads and writes registries (OCI distribution spec). One client serves all builds: connections and tokens are shared,
 * tokens only among requests with the same source of credentials.
 */
export class RegistryClient implements AsyncDisposable {
  readonly #config: RegistryConfig;
  readonly #connections = new Connections();
  readonly #exchange: RegistryExchange;
  readonly #sender: HttpSender;
  readonly #authorizer: Authorizer;

  constructor(options: RegistryClientOptions = {}) {
    const { clock = systemClock, userAgent = "buildkit-ts" } = options;
    this.#sender = new HttpSender({ connections: this.#connections, userAgent });
    this.#config = options.config ?? {};
    this.#authorizer = new Authorizer({ sender: this.#sender, clock });
    this.#exchange = new RegistryExchange({
      sender: this.#sender,
      authorizer: this.#authorizer,
      clock,
      maxTransfers: options.maxTransfers ?? 4,
    });
  }

  /**
   * What a reference with a tag or digest names, without its bytes.
   *
   * @throws {BuildError} `not_found`, `<reference>: not found`; `permission_denied`; `unavailable`.
   */
  async resolve(reference: Reference, options: RegistryRequestOptions): Promise<Descriptor> {
    using _permit = await this.#exchange.acquire(reference.domain, "json", options);
    return await resolveManifest(this.#read(reference, options), options);
  }

  /**
   * The manifest or index that `descriptor` names in the reference's repository, or that the reference itself names.
   *
   * @throws {BuildError} `data_loss`, if its bytes have another digest.
   */
  async fetchManifest(
    reference: Reference,
    descriptor: Descriptor | undefined,
    options: RegistryRequestOptions,
  ): Promise<FetchedManifest> {
    using _permit = await this.#exchange.acquire(reference.domain, "json", options);
    return await fetchManifest(this.#read(reference, options), descriptor, options);
  }

  /** Indexes of what refers to a manifest, such as signatures; none where the registry knows of none. */
  async fetchReferrers(reference: Reference, digest: Digest, options: RegistryRequestOptions): Promise<Buffer[]> {
    using _permit = await this.#exchange.acquire(reference.domain, "json", options);
    return await fetchReferrers(this.#write(reference, options), digest, options);
  }

  /** A small blob, such as an image's config: whole and verified; at most 4 MiB unless told otherwise. */
  async fetchBlob(
    reference: Reference,
    descriptor: Descriptor,
    options: RegistryRequestOptions & { readonly maxBytes?: number },
  ): Promise<Buffer> {
    return await repeatDamaged(async () => await this.#fetchBlob(reference, descriptor, options), {
      clock: this.#exchange.clock,
      signal: options.signal,
    });
  }

  async #fetchBlob(
    reference: Reference,
    descriptor: Descriptor,
    options: RegistryRequestOptions & { readonly maxBytes?: number },
  ): Promise<Buffer> {
    const { maxBytes = maxManifestBytes } = options;
    const chunks: Uint8Array[] = [];
    let total = 0;
    for await (const chunk of await this.openBlob(reference, descriptor, options)) {
      total += chunk.length;
      if (total > maxBytes) {
        throw new BuildError(
          "resource_exhausted",
          `Cannot read blob "${descriptor.digest}": larger than ${maxBytes} bytes`,
        );
      }
      chunks.push(chunk);
    }
    const bytes = Buffer.concat(chunks);
    verifyDigest(bytes, descriptor.digest);
    return bytes;
  }

  /**
   * A blob's bytes; its digest is verified by whoever stores them. The stream holds a place among the registry's
   * transfers until it was read to the end, given up or aborted.
   */
  async openBlob(
    reference: Reference,
    descriptor: Descriptor,
    options: RegistryRequestOptions & { readonly offset?: number },
  ): Promise<AsyncIterableIterator<Uint8Array>> {
    const { exchange, endpoints } = this.#read(reference, options);
    return await BlobStream.open({ exchange, endpoints, reference, descriptor, options }, options.offset ?? 0);
  }

  /** The blobs of a repository, for readers that know no registries. */
  provider(reference: Reference, settings: Omit<RegistryRequestOptions, "signal">): ContentProvider {
    return {
      open: async (descriptor, options) => await this.openBlob(reference, descriptor, { ...settings, ...options }),
    };
  }

  /** Makes the reference's repository have a blob: it is there already, or mounted from a neighbour, or uploaded. */
  async pushBlob(reference: Reference, blob: BlobToPush, options: RegistryRequestOptions): Promise<PushOutcome> {
    using _permit = await this.#exchange.acquire(reference.domain, "upload", options);
    return await pushBlob(this.#write(reference, options), blob, options);
  }

  /** Stores a manifest under the reference's tag, or under its digest where it has no tag. All it names must be there. */
  async pushManifest(
    reference: Reference,
    manifest: { readonly descriptor: Descriptor; readonly bytes: Uint8Array },
    options: RegistryRequestOptions,
  ): Promise<"existed" | "uploaded"> {
    using _permit = await this.#exchange.acquire(reference.domain, "json", options);
    return await pushManifest(this.#write(reference, options), manifest, options);
  }

  /** Tries each server of a registry, in the order in which they are asked, and says how that goes. */
  async check(domain: string, options: RegistryRequestOptions): Promise<CheckedEndpoint[]> {
    const tools = { sender: this.#sender, authorizer: this.#authorizer, domain };
    const endpoints = endpointsOf(domain, this.#config);
    return await Promise.all(endpoints.map(async (endpoint) => await checkEndpoint(endpoint, tools, options)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections[Symbol.asyncDispose]();
  }

  #read(
    reference: Reference,
    options: RegistryRequestOptions,
  ): { readonly exchange: RegistryExchange; readonly endpoints: RegistryEndpoint[]; readonly reference: Reference } {
    return { exchange: this.#exchange, reference, endpoints: this.#endpoints(reference, options) };
  }

  #write(reference: Reference, options: RegistryRequestOptions): PushTarget {
    const endpoint = this.#endpoints(reference, options).find(({ canPush }) => canPush);
    if (endpoint === undefined) throw new BuildError("not_found", "no push hosts: not found");
    return { exchange: this.#exchange, reference, endpoint };
  }

  #endpoints(reference: Reference, { insecure }: RegistryRequestOptions): RegistryEndpoint[] {
    return endpointsOf(reference.domain, this.#config, insecure === undefined ? {} : { insecure });
  }
}
