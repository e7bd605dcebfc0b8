import type { ResolveSourceMetaResponse } from "@buildkit-ts/api/buildkit/gateway";
import { NotAnImageError } from "@buildkit-ts/errdefs";
import { platformToProto } from "@buildkit-ts/llb";
import {
  type Digest,
  formatReference,
  type Platform,
  parseDigest,
  parseReference,
  withDefaultTag,
} from "@buildkit-ts/oci";
import type { GatewayClient } from "./gateway-client.ts";

/** Metadata of an image, without its layers. */
export interface ResolvedImage {
  readonly digest: Digest;
  /** The raw image config. */
  readonly config: Uint8Array;
  /** The reference that was resolved, possibly rewritten by a policy. */
  readonly ref: string;
}

/** Which of an image's variants is wanted, and how it is looked for. */
export interface ImageRequest {
  /** Default: the worker's. */
  readonly platform?: Platform;
  /** `default`, `pull` or `local`. */
  readonly resolveMode?: string;
  /** Shown as the step's name. */
  readonly logName?: string;
  /** For `oci-layout` references. */
  readonly store?: { readonly sessionId: string; readonly storeId: string };
}

const layoutResolver = 1;

/**
 * Asks the daemon for an image's config, by the call that it knows.
 *
 * @throws {NotAnImageError} if a policy has put another kind of source in the image's place.
 */
export async function resolveImage(
  gateway: GatewayClient,
  request: ImageRequest & { readonly reference: string; readonly hasMetadata: boolean },
  options: { readonly signal: AbortSignal },
): Promise<ResolvedImage> {
  const { store, hasMetadata } = request;
  // Daemons take no short names; layouts are named by their store.
  const reference = store === undefined ? qualify(request.reference) : request.reference;
  const common = {
    ResolveMode: request.resolveMode ?? "default",
    LogName: request.logName ?? "",
    ...(request.platform !== undefined && { Platform: platformToProto(request.platform) }),
  };
  if (!hasMetadata) {
    const layout = store && { ResolverType: layoutResolver, SessionID: store.sessionId, StoreID: store.storeId };
    const answer = await gateway.resolveImageConfig({ ...common, Ref: reference, ...layout }, options);
    return { digest: parseDigest(answer.Digest), config: answer.Config, ref: answer.Ref || reference };
  }
  const scheme = store === undefined ? "docker-image" : "oci-layout";
  const attrs: Record<string, string> =
    store === undefined ? {} : { "oci.session": store.sessionId, "oci.store": store.storeId };
  const source = { identifier: `${scheme}://${reference}`, attrs };
  return readAnswer(await gateway.resolveSourceMetadata({ ...common, Source: source }, options), reference);
}

function readAnswer({ Image, Source }: ResolveSourceMetaResponse, reference: string): ResolvedImage {
  const identifier = Source?.identifier ?? "";
  if (Image === undefined) throw new NotAnImageError(reference, identifier);
  const ref = identifier.replace(/^[\w-]+:\/\//, "");
  return { digest: parseDigest(Image.Digest), config: Image.Config, ref: ref || reference };
}

function qualify(reference: string): string {
  return formatReference(withDefaultTag(parseReference(reference)));
}
