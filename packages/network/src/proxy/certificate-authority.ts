import { generateKeyPair } from "node:crypto";
import { promisify } from "node:util";
import { type Clock, WorkerCalls } from "@buildkit-ts/async";
import type { CertificateRequest } from "./certificate.ts";

/** A key pair as PEM texts. */
interface Keys {
  readonly publicKey: string;
  readonly privateKey: string;
}

/** What a server proves itself by, as PEM texts. */
export interface ServerIdentity {
  readonly certificate: string;
  readonly key: string;
}

/** So many certificates are kept for hosts that are asked for again. */
const maxKept = 1024;
/** Certificates of hosts are good for a day; those that are older than this are made anew. */
const maxAgeMs = 22 * 3_600_000;

/**
 * Vouches for the proxy where it stands in for others' servers. One lives as long as its daemon and in its memory only: what
 * steps are given is the certificate. All hosts' certificates are for one key, which costs more to make than they do.
 */
export class CertificateAuthority implements AsyncDisposable {
  /** The authority's own certificate (PEM): what clients have to trust. */
  readonly certificate: string;
  readonly #keys: Keys;
  readonly #hostKeys: Keys;
  readonly #clock: Clock;
  readonly #calls: WorkerCalls<CertificateRequest, string>;
  /** By host, those that were asked for last at the end. */
  readonly #kept = new Map<string, { readonly certificate: Promise<string>; readonly since: number }>();

  private constructor(parts: {
    readonly certificate: string;
    readonly keys: Keys;
    readonly hostKeys: Keys;
    readonly clock: Clock;
    readonly calls: WorkerCalls<CertificateRequest, string>;
  }) {
    this.certificate = parts.certificate;
    this.#keys = parts.keys;
    this.#hostKeys = parts.hostKeys;
    this.#clock = parts.clock;
    this.#calls = parts.calls;
  }

  static async create(clock: Clock, options: { readonly signal: AbortSignal }): Promise<CertificateAuthority> {
    await using stack = new AsyncDisposableStack();
    // Off this thread: what writes certificates takes a tenth of a second to load.
    const calls = stack.use(
      new WorkerCalls<CertificateRequest, string>(new URL("./certificate.worker.ts", import.meta.url).href, {
        maxThreads: 1,
      }),
    );
    const [keys, hostKeys] = await Promise.all([createKeys(), createKeys()]);
    const own = { host: undefined, publicKey: keys.publicKey, authorityKey: keys.privateKey, now: clock.now() };
    const certificate = await calls.call(own, options);
    stack.move();
    return new CertificateAuthority({ certificate, keys, hostKeys, clock, calls });
  }

  /** @param host A name or an address that is fit for a certificate. */
  async identify(host: string): Promise<ServerIdentity> {
    const now = this.#clock.now();
    const known = this.#kept.get(host);
    this.#kept.delete(host);
    const kept =
      known !== undefined && now - known.since < maxAgeMs
        ? known
        : { certificate: this.#create(host, now), since: now };
    this.#kept.set(host, kept);
    kept.certificate.catch(() => {
      if (this.#kept.get(host) === kept) this.#kept.delete(host);
    });
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= maxKept) break;
      this.#kept.delete(oldest);
    }
    return { certificate: await kept.certificate, key: this.#hostKeys.privateKey };
  }

  async #create(host: string, now: number): Promise<string> {
    const request = { host, publicKey: this.#hostKeys.publicKey, authorityKey: this.#keys.privateKey, now };
    // Not for one step's signal: others may wait for the same host's.
    return await this.#calls.call(request, { signal: new AbortController().signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls[Symbol.asyncDispose]();
  }
}

/** RSA, since the programs of old images know nothing else for certain. */
async function createKeys(): Promise<Keys> {
  return await promisify(generateKeyPair)("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
}
