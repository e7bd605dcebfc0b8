import { createHmac, createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Auth } from "@buildkit-ts/api/buildkit/auth";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Attachable } from "./client-session.ts";
import type { DockerAuth, DockerConfig } from "./docker-config.ts";
import type { TokenTls } from "./fetch-token.ts";

/** The fixed beginning of an Ed25519 private key in DER. */
const privateKeyPrefix = Buffer.from("302e020100300506032b657004220420", "hex");

/** Options of {@linkcode provideRegistryAuth}. */
export interface RegistryAuthOptions {
  readonly config: DockerConfig;
  /** By registry host. */
  readonly tls?: ReadonlyMap<string, TokenTls>;
  /** Told once per name when credentials are used, such as `[auth] sharing credentials for …`. */
  readonly onUse?: (name: string) => void;
}

/**
 * Gives the daemon access to registries: by tokens, which the client fetches itself, or by credentials.
 *
 * A *token authority* is a key that stands for the client's credentials of a host; with it the daemon can tell that two
 * clients may share a token. It depends on a random seed on the client's disk, so the daemon learns nothing from it.
 */
export function provideRegistryAuth(options: RegistryAuthOptions): Attachable {
  const { config } = options;
  const used = new Set<string>();
  const note = (name: string): void => {
    if (used.has(name)) return;
    used.add(name);
    options.onUse?.(name);
  };
  return (server) => {
    server.handleUnary(Auth.method.credentials, async ({ Host: host }, { signal }) => {
      const { username, secret } = credentialsOf(await config.authFor(host, { signal }));
      if (secret !== "") note(`[auth] sharing credentials for ${host}`);
      return { Username: username, Secret: secret };
    });
    server.handleUnary(Auth.method.fetchToken, async (request, { signal }) => {
      const auth = await config.authFor(request.Host, { signal });
      if (auth.registryToken !== "") return { Token: auth.registryToken, ExpiresIn: 60n };
      const credentials = credentialsOf(auth);
      if (credentials.secret !== "") {
        const scopes = request.Scopes.map((scope) => scope.replace(/^repository:/, ""));
        note(`[auth] ${scopes.join(" ")} token for ${request.Host}`);
      }
      const { Realm: realm, Service: service, Scopes: scopes } = request;
      const tls = options.tls?.get(request.Host);
      const { fetchRegistryToken } = await import("./fetch-token.ts");
      const token = await fetchRegistryToken({ realm, service, scopes, tls, ...credentials }, { signal });
      return { Token: token.token, ExpiresIn: BigInt(token.expiresInSeconds), IssuedAt: BigInt(token.issuedAt) };
    });
    server.handleUnary(Auth.method.getTokenAuthority, async ({ Host: host, Salt: salt }, { signal }) => {
      const key = await authorityKey(config, { host, salt }, signal);
      const der = createPublicKey(key).export({ format: "der", type: "spki" });
      return { PublicKey: der.subarray(der.length - 32) };
    });
    server.handleUnary(Auth.method.verifyTokenAuthority, async (request, { signal }) => {
      const key = await authorityKey(config, { host: request.Host, salt: request.Salt }, signal);
      return { Signed: Buffer.concat([sign(null, request.Payload, key), request.Payload]) };
    });
  };
}

function credentialsOf(auth: DockerAuth): { readonly username: string; readonly secret: string } {
  if (auth.identityToken !== "") return { username: "", secret: auth.identityToken };
  return { username: auth.username, secret: auth.password };
}

async function authorityKey(
  config: DockerConfig,
  { host, salt }: { readonly host: string; readonly salt: Uint8Array },
  signal: AbortSignal,
): Promise<KeyObject> {
  if (/^(1|t|true)$/i.test(process.env["BUILDKIT_NO_CLIENT_TOKEN"] ?? "")) {
    throw new BuildError("unavailable", "client side tokens disabled");
  }
  const { secret } = credentialsOf(await config.authFor(host, { signal }));
  const mac = createHmac("sha256", salt);
  if (secret !== "") mac.update(await seedOf(config.directory, host));
  const der = Buffer.concat([privateKeyPrefix, mac.digest()]);
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" });
}

const seeds = new Map<string, Promise<Uint8Array>>();

async function seedOf(directory: string, host: string): Promise<Uint8Array> {
  const known = seeds.get(host);
  if (known !== undefined) return await known;
  const loading = loadSeed(directory, host);
  seeds.set(host, loading);
  return await loading;
}

async function loadSeed(directory: string, host: string): Promise<Uint8Array> {
  const path = join(directory, ".token_seed");
  const all = await readSeeds(path);
  const known = all[host]?.Seed;
  if (typeof known === "string" && known !== "") return Buffer.from(known, "base64");
  const seed = randomBytes(16);
  all[host] = { Seed: seed.toString("base64") };
  try {
    await mkdir(directory, { recursive: true, mode: 0o755 });
    const temporary = `${path}.${process.pid}`;
    await writeFile(temporary, JSON.stringify(all), { mode: 0o600 });
    await rename(temporary, path);
  } catch (error) {
    // Without a place to keep it, the seed lasts as long as this process.
    if (!(error instanceof Error && "code" in error)) throw error;
  }
  return seed;
}

async function readSeeds(path: string): Promise<Record<string, { Seed?: unknown }>> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Record<string, { Seed?: unknown }>;
  } catch (error) {
    // Missing, unreadable or cut short by a crash: a new seed costs one more token.
    if (!(error instanceof Error)) throw error;
    return {};
  }
}
