import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, digestHex, type Reference } from "@buildkit-ts/oci";
import type { HttpAnswer } from "./http-sender.ts";
import { maxManifestBytes } from "./manifests.ts";
import type { RegistryEndpoint } from "./registry-config.ts";
import { type RegistryExchange, type RegistryRequestOptions, unexpectedStatus } from "./registry-exchange.ts";
import { repositoryScope } from "./scopes.ts";

const indexType = "application/vnd.oci.image.index.v1+json";
const maxPages = 20;

/** Where referrers are looked up: the registry itself, as mirrors may know fewer. */
export interface ReferrersTarget {
  readonly exchange: RegistryExchange;
  readonly endpoint: RegistryEndpoint;
  readonly reference: Reference;
}

/**
 * The indexes that list what refers to a manifest (OCI distribution spec, "Listing Referrers"); none where the registry
 * knows of none. Registries without that API keep the list under a tag made from the digest.
 */
export async function fetchReferrers(
  target: ReferrersTarget,
  digest: Digest,
  options: RegistryRequestOptions,
): Promise<Buffer[]> {
  const { path } = target.reference;
  const pages: Buffer[] = [];
  let next: string | undefined = `/${path}/referrers/${digest}`;
  while (next !== undefined) {
    if (pages.length === maxPages)
      throw new BuildError("resource_exhausted", `Cannot list referrers of "${digest}": more than ${maxPages} pages`);
    const answer = await ask(target, next, options);
    if (answer.statusCode === 404 && pages.length === 0) {
      await answer.discard();
      return await fetchByTag(target, digest, options);
    }
    if (answer.statusCode !== 200) throw await unexpectedStatus(answer);
    next = nextPage(answer, target);
    pages.push(await answer.bytes(maxManifestBytes));
  }
  return pages;
}

async function fetchByTag(target: ReferrersTarget, digest: Digest, options: RegistryRequestOptions): Promise<Buffer[]> {
  const tag = `${digest.slice(0, digest.indexOf(":"))}-${digestHex(digest)}`;
  const answer = await ask(target, `/${target.reference.path}/manifests/${tag}`, options);
  if (answer.statusCode === 404) {
    await answer.discard();
    return [];
  }
  if (answer.statusCode !== 200) throw await unexpectedStatus(answer);
  return [await answer.bytes(maxManifestBytes)];
}

async function ask(target: ReferrersTarget, path: string, options: RegistryRequestOptions): Promise<HttpAnswer> {
  const { exchange, endpoint, reference } = target;
  const scopes = [repositoryScope(reference.path, "pull")];
  return await exchange.send(
    { endpoint, isLast: true, method: "GET", path, headers: { accept: indexType }, scopes },
    options,
  );
}

/** The next page as the answer links it; only on the same server, which is the one that gets the credentials. */
function nextPage(answer: HttpAnswer, { endpoint }: ReferrersTarget): string | undefined {
  const [, link] = /<([^>]{1,2000})>\s*;\s*rel="?next"?/.exec(answer.header("link") ?? "") ?? [];
  if (link === undefined) return undefined;
  const url = URL.parse(link, answer.url);
  const isSame = url !== null && url.origin === new URL(answer.url).origin && url.pathname.startsWith(endpoint.path);
  return isSame ? url.pathname.slice(endpoint.path.length) + url.search : undefined;
}
