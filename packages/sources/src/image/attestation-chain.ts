import type { ContentProvider } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  type Descriptor,
  type Digest,
  digestOf,
  isIndexType,
  isManifestType,
  type Platform,
  platformDistance,
} from "@buildkit-ts/oci";
import type { AttestationChain, NamedBlob } from "../source-metadata.ts";
import { parseIndex, parseManifest } from "./parse-manifest.ts";

/** Signatures as policies understand them, the better kind first. */
const signatureTypes = [
  "application/vnd.dev.sigstore.bundle.v0.3+json",
  "application/vnd.dev.cosign.artifact.sig.v1+json",
];
const maxBlobBytes = 16 << 20;

/** Where the parts of a chain are read. */
export interface ChainOrigin {
  readonly provider: ContentProvider;
  /** What refers to a manifest, as the registry lists it. */
  referrers(digest: Digest): Promise<readonly Descriptor[]>;
}

/** Which image's chain, and which of its attestations. */
export interface ChainRequest {
  readonly root: Descriptor;
  readonly platform: Platform;
  readonly predicateTypes: readonly string[];
}

/**
 * Reads what leads from an index to the signatures of its attestations. Nothing is verified here but digests.
 *
 * @returns undefined for an image without index, which has no attestations.
 */
export async function readAttestationChain(
  origin: ChainOrigin,
  request: ChainRequest,
  options: { readonly signal: AbortSignal },
): Promise<AttestationChain | undefined> {
  const { root, platform, predicateTypes } = request;
  if (!isIndexType(root.mediaType)) return undefined;
  const blobs = new Map<Digest, NamedBlob>();
  const read = async (descriptor: Descriptor): Promise<Uint8Array> => {
    const data = await readVerified(origin.provider, descriptor, options);
    blobs.set(descriptor.digest, { descriptor, data });
    return data;
  };
  const manifests = parseIndex(await read(root));
  const image = findImage(manifests, platform);
  if (image === undefined)
    throw new BuildError("not_found", `no match for platform in manifest ${root.digest}: not found`);
  const attestation = manifests.find(
    ({ annotations }) =>
      annotations?.["vnd.docker.reference.type"] === "attestation-manifest" &&
      annotations["vnd.docker.reference.digest"] === image.digest,
  );
  const chain = { root: root.digest, imageManifest: image.digest, blobs };
  if (attestation === undefined) return { ...chain, attestationManifest: undefined, signatureManifests: [] };
  const { layers } = parseManifest(await read(attestation));
  const signature = await findSignature(origin, attestation.digest);
  if (signature !== undefined) {
    for (const layer of parseManifest(await read(signature)).layers) await read(layer);
  }
  for (const layer of layers) {
    const type = layer.annotations?.["in-toto.io/predicate-type"] ?? "";
    if (type !== "" && predicateTypes.includes(type) && !blobs.has(layer.digest)) await read(layer);
  }
  return {
    ...chain,
    attestationManifest: attestation.digest,
    signatureManifests: signature === undefined ? [] : [signature.digest],
  };
}

function findImage(manifests: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  const usable = manifests.flatMap((descriptor) => {
    if (!isManifestType(descriptor.mediaType)) return [];
    if (descriptor.annotations?.["vnd.docker.reference.type"] !== undefined) return [];
    const { platform } = descriptor;
    const distance = platform === undefined ? Number.MAX_SAFE_INTEGER : platformDistance(wanted, platform);
    return distance === undefined ? [] : [{ descriptor, distance }];
  });
  return usable.toSorted((a, b) => a.distance - b.distance)[0]?.descriptor;
}

async function findSignature(origin: ChainOrigin, attestation: Digest): Promise<Descriptor | undefined> {
  const referrers = await origin.referrers(attestation);
  for (const type of signatureTypes) {
    const found = referrers.find(({ artifactType }) => artifactType === type);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function readVerified(
  provider: ContentProvider,
  descriptor: Descriptor,
  options: { readonly signal: AbortSignal },
): Promise<Buffer> {
  const tooLarge = (): BuildError =>
    new BuildError("resource_exhausted", `Cannot read "${descriptor.digest}": larger than ${maxBlobBytes} bytes`);
  if (descriptor.size > maxBlobBytes) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of await provider.open(descriptor, options)) {
    size += chunk.length;
    if (size > maxBlobBytes) throw tooLarge();
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  if (digestOf(bytes) !== descriptor.digest)
    throw new BuildError("data_loss", `Cannot use content "${descriptor.digest}": its bytes have another digest`);
  return bytes;
}
