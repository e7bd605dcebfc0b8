import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { gatewaypb, type opspb } from "@buildkit-ts/api";
import type { AttestationChain, SourceMetadata } from "@buildkit-ts/sources";

type Response = gatewaypb.ResolveSourceMetaResponse;

/** `ResolveSourceMetaResponse` for a source, with as much as was asked for. */
export function describeSource(
  source: opspb.SourceOp,
  metadata: SourceMetadata | undefined,
  request: gatewaypb.ResolveSourceMetaRequest,
): Response {
  const response = create(gatewaypb.ResolveSourceMetaResponseSchema, { Source: source });
  switch (metadata?.kind) {
    case undefined:
      return response;
    case "image":
      response.Image = create(gatewaypb.ResolveSourceImageResponseSchema, {
        Digest: metadata.digest,
        ...(request.Image?.NoConfig !== true && { Config: metadata.config }),
        ...(metadata.attestationChain !== undefined && { AttestationChain: chainMessage(metadata.attestationChain) }),
      });
      return response;
    case "git":
      response.Git = create(gatewaypb.ResolveSourceGitResponseSchema, {
        Checksum: metadata.checksum,
        Ref: metadata.ref,
        CommitChecksum: metadata.commitChecksum ?? "",
        ...(metadata.commitObject !== undefined && { CommitObject: metadata.commitObject }),
        ...(metadata.tagObject !== undefined && { TagObject: metadata.tagObject }),
      });
      return response;
    case "http":
      response.HTTP = httpMessage(metadata);
      return response;
    default:
      metadata satisfies never;
      return response;
  }
}

function httpMessage(metadata: Extract<SourceMetadata, { kind: "http" }>): gatewaypb.ResolveSourceHTTPResponse {
  const { digest, fileName, lastModified, checksum } = metadata;
  return create(gatewaypb.ResolveSourceHTTPResponseSchema, {
    Checksum: digest,
    Filename: fileName,
    ...(lastModified !== undefined && {
      LastModified: { seconds: BigInt(Math.floor(lastModified / 1000)), nanos: (lastModified % 1000) * 1_000_000 },
    }),
    ...(checksum !== undefined && { ChecksumResponse: { Digest: checksum.digest, Suffix: checksum.suffix } }),
  });
}

function chainMessage(chain: AttestationChain): MessageInitShape<typeof gatewaypb.AttestationChainSchema> {
  return {
    Root: chain.root,
    ImageManifest: chain.imageManifest ?? "",
    AttestationManifest: chain.attestationManifest ?? "",
    SignatureManifests: [...chain.signatureManifests],
    Blobs: Object.fromEntries(
      [...chain.blobs].map(([digest, { descriptor, data }]) => [
        digest,
        {
          descriptor_: {
            mediaType: descriptor.mediaType,
            digest: descriptor.digest,
            size: BigInt(descriptor.size),
            annotations: { ...descriptor.annotations },
          },
          data,
        },
      ]),
    ),
  };
}
