import { formatGoJson } from "@buildkit-ts/gotext";
import { type Descriptor, type Digest, digestOf, mediaTypes, type Platform } from "@buildkit-ts/oci";
import { predicateTypeAnnotation, type Statement } from "@buildkit-ts/provenance";
import type { ImageDocument } from "./document-writer.ts";
import { orderDescriptor } from "./order-descriptor.ts";

const artifactType = "application/vnd.docker.attestation.manifest.v1+json";

/** The platform that clients which want to run an image never choose. */
const noPlatform: Platform = { architecture: "unknown", os: "unknown" };

/** The blobs that carry statements about an image, children first, and how an index refers to them. */
export interface AttestationManifest {
  readonly blobs: readonly ImageDocument[];
  readonly manifest: ImageDocument;
  readonly descriptor: Descriptor;
}

/**
 * Packs statements about an image: as a manifest that looks like an image of an unknown platform, or, as an `artifact`,
 * one that names the image as its subject.
 */
export function packAttestations(
  statements: readonly Statement[],
  options: { readonly target: Descriptor; readonly artifact: boolean },
): AttestationManifest {
  const packed = statements.map((statement) => {
    const bytes = Buffer.from(formatGoJson(statement));
    const annotations = { [predicateTypeAnnotation]: statement.predicateType };
    return { bytes, descriptor: { ...describe(mediaTypes.inToto, bytes), annotations } };
  });
  const { target, artifact } = options;
  const config = artifact ? emptyConfig() : imageConfig(packed.map(({ descriptor }) => descriptor.digest));
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    ...(artifact && { artifactType }),
    config: config.descriptor,
    layers: packed.map(({ descriptor }) => orderDescriptor(descriptor)),
    ...(artifact && { subject: { mediaType: target.mediaType, digest: target.digest, size: target.size } }),
  };
  const bytes = Buffer.from(formatGoJson(manifest, "  "));
  return {
    blobs: [...packed.map((one) => ({ mediaType: mediaTypes.inToto, bytes: one.bytes })), config.document],
    manifest: { mediaType: mediaTypes.ociManifest, bytes },
    descriptor: {
      ...describe(mediaTypes.ociManifest, bytes),
      annotations: {
        "vnd.docker.reference.digest": target.digest,
        "vnd.docker.reference.type": "attestation-manifest",
      },
      platform: noPlatform,
    },
  };
}

interface PackedConfig {
  readonly document: ImageDocument;
  readonly descriptor: Descriptor;
}

/** OCI image spec, "Guidance for an Empty Descriptor". */
function emptyConfig(): PackedConfig {
  const bytes = Buffer.from("{}");
  const mediaType = mediaTypes.ociEmptyJson;
  return {
    document: { mediaType, bytes },
    descriptor: { ...describe(mediaType, bytes), data: bytes.toString("base64") },
  };
}

function imageConfig(diffIds: readonly Digest[]): PackedConfig {
  const config = { ...noPlatform, config: {}, rootfs: { type: "layers", diff_ids: diffIds } };
  const bytes = Buffer.from(formatGoJson(config));
  const mediaType = mediaTypes.ociConfig;
  return { document: { mediaType, bytes }, descriptor: describe(mediaType, bytes) };
}

function describe(mediaType: string, bytes: Buffer): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}
