import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ProcessMeta } from "./executor.ts";
import { formatHosts } from "./hosts-file.ts";
import {
  containerResolvConf,
  type DnsConfig,
  formatResolvConf,
  isResolvedStub,
  parseResolvConf,
  resolvedUpstreamPath,
} from "./resolv-conf.ts";

/** Files that are bound over a container's /etc; those of a single step are gone after disposal. */
export interface NetworkFiles extends AsyncDisposable {
  readonly hostsPath: string;
  readonly resolvConfPath: string;
}

/**
 * Makes the hosts and resolv.conf files of containers, in a directory of its own.
 *
 * Steps without hosts of their own share one file; resolv.conf is made anew when the host's changed.
 */
export class NetworkFileStore {
  readonly #directory: string;
  readonly #dns: DnsConfig | undefined;
  readonly #written = new Map<string, string>();
  #temporaryFiles = 0;

  constructor(directory: string, options: { readonly dns?: DnsConfig } = {}) {
    this.#directory = directory;
    this.#dns = options.dns;
  }

  /** The files are gone, or about to go: they are written again when next needed. */
  forget(): void {
    this.#written.clear();
  }

  async prepare(id: string, meta: Pick<ProcessMeta, "hostname" | "extraHosts" | "network">): Promise<NetworkFiles> {
    const resolvConfPath = await this.#prepareResolvConf(meta.network === "host");
    const text = formatHosts(meta.hostname, meta.extraHosts);
    if (meta.hostname === "" && meta.extraHosts.length === 0) {
      const hostsPath = await this.#writeShared("hosts", text);
      return { hostsPath, resolvConfPath, [Symbol.asyncDispose]: async () => undefined };
    }
    const hostsPath = join(this.#directory, `hosts.${id}`);
    await writeFile(hostsPath, text, { mode: 0o644, flag: "wx" });
    return { hostsPath, resolvConfPath, [Symbol.asyncDispose]: async () => await rm(hostsPath, { force: true }) };
  }

  async #prepareResolvConf(hostNetwork: boolean): Promise<string> {
    const path = hostNetwork ? "/etc/resolv.conf" : await resolvConfSource();
    const conf = parseResolvConf(await readOrEmpty(path));
    const dns = this.#dns;
    const text = formatResolvConf(containerResolvConf(conf, { ...(dns !== undefined && { dns }), hostNetwork }));
    return await this.#writeShared(hostNetwork ? "resolv-host.conf" : "resolv.conf", text);
  }

  async #writeShared(name: string, text: string): Promise<string> {
    const path = join(this.#directory, name);
    if (this.#written.get(name) === text) return path;
    // A running container keeps the inode it was given: replace, never rewrite.
    this.#temporaryFiles += 1;
    const temporary = `${path}.${this.#temporaryFiles}.tmp`;
    await writeFile(temporary, text, { mode: 0o644 });
    await rename(temporary, path);
    this.#written.set(name, text);
    return path;
  }
}

async function resolvConfSource(): Promise<string> {
  if (!isResolvedStub(parseResolvConf(await readOrEmpty("/etc/resolv.conf")))) return "/etc/resolv.conf";
  return (await stat(resolvedUpstreamPath).catch(() => undefined)) === undefined
    ? "/etc/resolv.conf"
    : resolvedUpstreamPath;
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
