import { formatReference, parseReference, withDefaultTag } from "@buildkit-ts/oci";
import type {
  BlobMaterial,
  GitMaterial,
  HttpMaterial,
  ImageMaterial,
  IncompleteProxyRequest,
  Materials,
  Use,
} from "./materials.ts";
import { redactCredentials } from "./redact-credentials.ts";

/** What is known of how one result came to be: collected step by step, then read. Equal things are there once. */
export class Capture implements Materials {
  readonly #images: ImageMaterial[] = [];
  readonly #imageNames = new Map<string, ImageMaterial[]>();
  readonly #blobs = new Map<string, BlobMaterial>();
  readonly #git = new Map<string, GitMaterial>();
  readonly #http = new Map<string, HttpMaterial>();
  readonly #locals = new Set<string>();
  readonly #secrets = new Map<string, Use>();
  readonly #ssh = new Map<string, Use>();
  /** Whether a step could reach the network. */
  networkAccess = false;
  /** Whether the steps that could were held to proxies. */
  proxyNetwork = false;
  readonly #proxyIncomplete: IncompleteProxyRequest[] = [];
  /** Whether something went in that could not be captured. */
  incompleteMaterials = false;

  get images(): readonly ImageMaterial[] {
    return withoutRedundant(this.#images).toSorted(by(({ ref }) => ref));
  }

  get blobs(): readonly BlobMaterial[] {
    return [...this.#blobs.values()].toSorted(by(({ ref }) => ref));
  }

  get git(): readonly GitMaterial[] {
    return [...this.#git.values()].toSorted(by(({ url }) => url));
  }

  get http(): readonly HttpMaterial[] {
    return [...this.#http.values()].toSorted(by(({ url }) => url));
  }

  get locals(): readonly string[] {
    return [...this.#locals].toSorted();
  }

  get secrets(): readonly Use[] {
    return [...this.#secrets.values()].toSorted(by(({ id }) => id));
  }

  get ssh(): readonly Use[] {
    return [...this.#ssh.values()].toSorted(by(({ id }) => id));
  }

  addImage(image: ImageMaterial): void {
    const key = `${image.local} ${image.ref}`;
    const known = this.#imageNames.get(key) ?? [];
    if (known.some((other) => isSamePlatform(other, image))) return;
    this.#imageNames.set(key, [...known, image]);
    this.#images.push(image);
  }

  addBlob(blob: BlobMaterial): void {
    addOnce(this.#blobs, `${blob.local} ${blob.ref}`, blob);
  }

  addGit(git: GitMaterial): void {
    const url = redactCredentials(git.url);
    addOnce(this.#git, `${url} ${git.bundle ?? ""}`, { ...git, url });
  }

  addHttp(http: HttpMaterial): void {
    const url = redactCredentials(http.url);
    addOnce(this.#http, url, { ...http, url });
  }

  /** What steps fetched by their proxies and is not among the materials. */
  get proxyIncomplete(): readonly IncompleteProxyRequest[] {
    return this.#proxyIncomplete.toSorted(by(({ op, uri, method, reason }) => [op, uri, method, reason].join("\0")));
  }

  addProxyIncomplete(request: IncompleteProxyRequest): void {
    this.incompleteMaterials = true;
    this.#proxyIncomplete.push({ ...request, uri: redactCredentials(request.uri) });
  }

  addLocal(name: string): void {
    this.#locals.add(name);
  }

  addSecret(secret: Use): void {
    addUse(this.#secrets, secret);
  }

  addSsh(ssh: Use): void {
    addUse(this.#ssh, ssh.id === "" ? { ...ssh, id: "default" } : ssh);
  }
}

function addOnce<T>(map: Map<string, T>, key: string, value: T): void {
  if (!map.has(key)) map.set(key, value);
}

/** Required by one step is required. */
function addUse(uses: Map<string, Use>, use: Use): void {
  const known = uses.get(use.id);
  if (known === undefined || (known.optional && !use.optional)) uses.set(use.id, use);
}

/** The OS features do not count: no index tells its images apart by them alone. */
function isSamePlatform({ platform: a }: ImageMaterial, { platform: b }: ImageMaterial): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.os === b.os && a.architecture === b.architecture && a.variant === b.variant && a["os.version"] === b["os.version"]
  );
}

/** An image by digest says nothing new where the same image is there by its tag. */
function withoutRedundant(images: readonly ImageMaterial[]): ImageMaterial[] {
  const tagged = new Set<string>();
  const names = images.map(({ ref }) => {
    const { digest, ...named } = parseReference(ref);
    const name = formatReference(withDefaultTag(named));
    if (digest === undefined) tagged.add(name);
    return { name, byDigest: digest !== undefined };
  });
  return images.filter((_, index) => {
    const found = names[index];
    return found === undefined || !found.byDigest || !tagged.has(found.name);
  });
}

function by<T>(key: (item: T) => string): (a: T, b: T) => number {
  return (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
}
