import type { TestContext } from "node:test";
import type { Clock } from "@buildkit-ts/async";
import { type Descriptor, type Digest, digestOf, mediaTypes, parseReference, type Reference } from "@buildkit-ts/oci";
import { anonymousCredentials, type CredentialSource } from "../credential-source.ts";
import { RegistryClient, type RegistryClientOptions } from "../registry-client.ts";
import { TestRegistry, type TestRegistryOptions } from "./index.ts";

/** What every call is given. */
export const callOptions: { readonly signal: AbortSignal; readonly credentials: CredentialSource } = {
  signal: new AbortController().signal,
  credentials: anonymousCredentials,
};

/** Passes at once, and remembers how long it was asked to wait. */
export class QuickClock implements Clock {
  readonly sleeps: number[] = [];
  time = 1_000_000;

  now(): number {
    return this.time;
  }

  async sleep(ms: number): Promise<void> {
    this.sleeps.push(ms);
    this.time += ms;
    await Promise.resolve();
  }
}

/** A client, and a registry that it talks to. */
export interface Setup {
  readonly registry: TestRegistry;
  readonly client: RegistryClient;
  readonly clock: QuickClock;
  readonly reference: Reference;
}

/** A registry and a client for one test, which end with it. */
export async function setUp(
  t: TestContext,
  settings: TestRegistryOptions = {},
  clientOptions: RegistryClientOptions = {},
): Promise<Setup> {
  const registry = await TestRegistry.start(settings);
  const clock = new QuickClock();
  const client = new RegistryClient({ clock, ...clientOptions });
  t.after(async () => {
    await client[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });
  return { registry, client, clock, reference: parseReference(`${registry.host}/team/app:v1`) };
}

/** Puts `team/app:v1` there, an image without layers. */
export function putImage(registry: TestRegistry): { descriptor: Descriptor; bytes: Buffer } {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, layers: [] }));
  const digest = registry.putManifest("team/app", { mediaType: mediaTypes.ociManifest, bytes }, "v1") as Digest;
  return { descriptor: { mediaType: mediaTypes.ociManifest, digest, size: bytes.length }, bytes };
}

/** The descriptor of a layer. */
export function blobDescriptor(bytes: Uint8Array): Descriptor {
  return { mediaType: mediaTypes.ociLayerGzip, digest: digestOf(bytes), size: bytes.length };
}

/** A blob whose bytes come in one piece each time that it is opened. */
export function streamedBlob(bytes: Uint8Array): {
  readonly descriptor: Descriptor;
  readonly source: { readonly open: () => Promise<AsyncIterable<Uint8Array>> };
} {
  const stream = async function* (): AsyncGenerator<Uint8Array, void> {
    yield bytes;
  };
  return { descriptor: blobDescriptor(bytes), source: { open: () => Promise.resolve(stream()) } };
}

/** All that comes. */
export async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Somebody with a password; `asked` has the hosts that wanted it. */
export function user(username: string, secret: string): CredentialSource & { asked: string[] } {
  const asked: string[] = [];
  return {
    id: `${username}:${secret}`,
    asked,
    credentials: (host) => {
      asked.push(host);
      return Promise.resolve({ username, secret });
    },
  };
}

/** More than one chunk of any reader. */
export const big: Buffer = Buffer.alloc(3_000_000, "0123456789abcdef!");
