import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { BuildError } from "@buildkit-ts/errdefs";
import { dispatcherFor, proxyFor, trustMachineAuthorities } from "@buildkit-ts/proxies";
import type { Dispatcher } from "undici";
import type { RegistryHostConfig } from "./registry-config.ts";

const timeouts = { headersTimeout: 300_000, bodyTimeout: 60_000, keepAliveTimeout: 60_000 };

/** The connections to registries: one pool for each set of TLS settings and each proxy of the environment. */
export class Connections implements AsyncDisposable {
  readonly #pools = new Map<RegistryHostConfig, Promise<Pool>>();
  readonly #defaults: RegistryHostConfig = {};

  /** @throws {BuildError} `failed_precondition`, for certificates that cannot be read, or a proxy that is none. */
  async dispatcher(url: string, tls: RegistryHostConfig | undefined): Promise<Dispatcher> {
    const settings = tls === undefined || !hasTlsSettings(tls) ? this.#defaults : tls;
    let pool = this.#pools.get(settings);
    if (pool === undefined) {
      pool = createPool(settings);
      this.#pools.set(settings, pool);
      // A certificate that is missing now may be there at the next attempt.
      pool.catch(() => this.#pools.delete(settings));
    }
    return (await pool).dispatcherFor(proxyFor(new URL(url), process.env));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pools = await Promise.allSettled(this.#pools.values());
    this.#pools.clear();
    await Promise.all(
      pools.map(async (pool) => (pool.status === "fulfilled" ? await pool.value.destroy() : undefined)),
    );
  }
}

function hasTlsSettings({ insecure, ca, keyPairs, tlsConfigDirs }: RegistryHostConfig): boolean {
  return insecure === true || [ca, keyPairs, tlsConfigDirs].some((list) => list !== undefined && list.length > 0);
}

async function createPool(settings: RegistryHostConfig): Promise<Pool> {
  return new Pool({ timeout: 30_000, ...(await tlsOptions(settings)) });
}

/** Connections with the same settings: straight to servers, or by proxies. */
class Pool {
  readonly #connect: TlsOptions & { readonly timeout: number };
  readonly #dispatchers = new Map<string, Dispatcher>();

  constructor(connect: TlsOptions & { readonly timeout: number }) {
    this.#connect = connect;
  }

  dispatcherFor(proxy: URL | undefined): Dispatcher {
    const key = proxy?.href ?? "";
    let dispatcher = this.#dispatchers.get(key);
    if (dispatcher === undefined) {
      // HTTP/1.1 only: with one HTTP/2 connection flow control would limit all transfers together.
      dispatcher = dispatcherFor(proxy, { ...timeouts, allowH2: false, connect: this.#connect });
      this.#dispatchers.set(key, dispatcher);
    }
    return dispatcher;
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#dispatchers.values()].map(async (dispatcher) => await dispatcher.destroy()));
  }
}

interface TlsOptions {
  readonly rejectUnauthorized: boolean;
  readonly ca?: string[];
  readonly cert?: string[];
  readonly key?: string[];
}

async function tlsOptions(settings: RegistryHostConfig): Promise<TlsOptions> {
  const ca = [...(settings.ca ?? [])];
  const pairs = [...(settings.keyPairs ?? [])];
  for (const directory of settings.tlsConfigDirs ?? []) {
    for (const name of await listDirectory(directory)) {
      const path = join(directory, name);
      if (name.endsWith(".crt")) ca.push(path);
      if (name.endsWith(".cert")) pairs.push({ cert: path, key: path.replace(/\.cert$/, ".key") });
    }
  }
  trustMachineAuthorities();
  const authorities = await Promise.all(ca.map(readPem));
  const certificates = await Promise.all(pairs.map(({ cert }) => readPem(cert)));
  const keys = await Promise.all(pairs.map(({ key }) => readPem(key)));
  return {
    rejectUnauthorized: settings.insecure !== true,
    ...(authorities.length > 0 && { ca: [...getCACertificates("default"), ...authorities] }),
    ...(pairs.length > 0 && { cert: certificates, key: keys }),
  };
}

async function listDirectory(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).toSorted((a, b) => (a < b ? -1 : 1));
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "EACCES")) return [];
    throw error;
  }
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new BuildError("failed_precondition", `Cannot read certificate "${path}": ${(error as Error).message}`, {
      cause: error,
    });
  }
}
