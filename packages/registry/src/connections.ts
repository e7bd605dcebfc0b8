import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { BuildError } from "@buildkit-ts/errdefs";
import { Agent, type Dispatcher, EnvHttpProxyAgent } from "undici";
import type { RegistryHostConfig } from "./registry-config.ts";

const timeouts = { headersTimeout: 300_000, bodyTimeout: 60_000, keepAliveTimeout: 60_000 };

/** The connections to registries: one pool for each set of TLS settings, with the proxies of the environment. */
export class Connections implements AsyncDisposable {
  readonly #pools = new Map<RegistryHostConfig, Promise<Dispatcher>>();
  readonly #defaults: RegistryHostConfig = {};

  /** @throws {BuildError} `failed_precondition`, for certificates that cannot be read. */
  async dispatcher(tls: RegistryHostConfig | undefined): Promise<Dispatcher> {
    const settings = tls === undefined || !hasTlsSettings(tls) ? this.#defaults : tls;
    const known = this.#pools.get(settings);
    if (known !== undefined) return await known;
    const pool = createPool(settings);
    this.#pools.set(settings, pool);
    // A certificate that is missing now may be there at the next attempt.
    pool.catch(() => this.#pools.delete(settings));
    return await pool;
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

async function createPool(settings: RegistryHostConfig): Promise<Dispatcher> {
  const connect = { timeout: 30_000, ...(await tlsOptions(settings)) };
  const { HTTP_PROXY, HTTPS_PROXY, http_proxy, https_proxy } = process.env;
  const hasProxy = [HTTP_PROXY, HTTPS_PROXY, http_proxy, https_proxy].some(
    (proxy) => proxy !== undefined && proxy !== "",
  );
  // HTTP/1.1 only: with one HTTP/2 connection flow control would limit all transfers together.
  const common = { ...timeouts, allowH2: false, connect };
  return hasProxy ? new EnvHttpProxyAgent({ ...common, requestTls: connect }) : new Agent(common);
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
