import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { type Clock, type ErrorReporter, systemClock } from "@buildkit-ts/async";
import { IdlePool } from "../namespaces/idle-pool.ts";
import { PersistentNamespaces } from "../namespaces/persistent-namespaces.ts";
import type { NetworkNamespace, NetworkProvider } from "../network-provider.ts";
import { AttachmentFiles } from "./attachment-file.ts";
import type { CniNetworks } from "./cni-networks.ts";

/** How a {@linkcode CniNetworkProvider} is set up. */
export interface CniNetworkProviderOptions {
  /** For namespaces and what is known of them; the provider's own. */
  readonly directory: string;
  readonly networks: CniNetworks;
  /** How many namespaces are kept ready. */
  readonly poolSize: number;
  readonly reporter: ErrorReporter;
  readonly clock?: Clock;
  /** Runs after the last namespace is gone. */
  readonly onClose?: () => Promise<void>;
}

/** Making a namespace takes a tenth of a second and more: one that was used is kept this long for the next step. */
const graceMs = 5 * 60_000;

/**
 * Containers get a namespace that CNI plugins attached to a network.
 *
 * Namespaces without a hostname are used again; those with one are announced under it, so they live for one container.
 */
export class CniNetworkProvider implements NetworkProvider {
  readonly name = "cni";
  readonly #options: CniNetworkProviderOptions;
  readonly #namespaces: PersistentNamespaces;
  readonly #attachments: AttachmentFiles;
  readonly #pool: IdlePool<string>;
  #filling: Promise<void> = Promise.resolve();

  private constructor(options: CniNetworkProviderOptions) {
    this.#options = options;
    this.#namespaces = new PersistentNamespaces(join(options.directory, "namespaces"));
    this.#attachments = new AttachmentFiles(join(options.directory, "attachments"));
    this.#pool = new IdlePool({
      create: async () => await this.#create(""),
      release: async (id) => await this.#release(id),
      targetSize: options.poolSize,
      graceMs,
      clock: options.clock ?? systemClock,
      reporter: options.reporter,
    });
  }

  /**
   * Removes what a killed daemon left, and makes a first namespace: a network that does not work is found before a build is.
   *
   * @throws {BuildError} `failed_precondition`, with the words of the plugin that failed.
   */
  static async open(options: CniNetworkProviderOptions): Promise<CniNetworkProvider> {
    const provider = new CniNetworkProvider(options);
    for (const id of provider.#namespaces.ids()) {
      await provider.#release(id).catch((error: unknown) => {
        options.reporter.report(error, `removing network namespace ${id} of an earlier run`);
      });
    }
    await provider.#pool.put(await provider.#pool.take());
    provider.#filling = provider.#pool.fill().catch((error: unknown) => {
      options.reporter.report(error, "keeping network namespaces ready");
    });
    return provider;
  }

  async acquire(options: { readonly signal: AbortSignal; readonly hostname: string }): Promise<NetworkNamespace> {
    const { hostname, signal } = options;
    signal.throwIfAborted();
    const id = hostname === "" ? await this.#pool.take() : await this.#create(hostname);
    return {
      join: { kind: "path", path: this.#namespaces.path(id) },
      [Symbol.asyncDispose]: async () => await (hostname === "" ? this.#pool.put(id) : this.#release(id)),
    };
  }

  async #create(hostname: string): Promise<string> {
    const id = randomUUID();
    const path = await this.#namespaces.create(id);
    try {
      await this.#attachments.save(id, { hostname, results: {} });
      const results = await this.#options.networks.attach({ id, path, hostname });
      await this.#attachments.save(id, { hostname, results });
    } catch (error) {
      await this.#namespaces.delete(id);
      await this.#attachments.delete(id);
      throw error;
    }
    return id;
  }

  async #release(id: string): Promise<void> {
    const { hostname, results } = await this.#attachments.load(id);
    try {
      await this.#options.networks.detach({ id, path: this.#namespaces.path(id), hostname }, results);
    } finally {
      await this.#namespaces.delete(id);
      await this.#attachments.delete(id);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
    await this.#filling;
    await this.#options.onClose?.();
  }
}
