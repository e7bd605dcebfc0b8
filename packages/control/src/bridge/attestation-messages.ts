import { create } from "@bufbuild/protobuf";
import { gatewaypb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { isDigest } from "@buildkit-ts/oci";
import { type Attestation, isProvenanceType, type StatementSubject } from "@buildkit-ts/provenance";
import type { BridgeAttestations, BridgeRef } from "./bridge-ref.ts";

type Messages = Readonly<Record<string, gatewaypb.Attestations>>;

/**
 * What a frontend states about its result.
 *
 * @throws {BuildError} `invalid_argument`, for kinds that are unknown, and for provenance, which only the daemon states.
 */
export function attestationsFromProto(
  messages: Messages,
  find: (id: string) => BridgeRef | undefined,
): BridgeAttestations {
  const all = Object.entries(messages).map(
    ([platform, { attestation }]) => [platform, attestation.map((message) => fromProto(message, find))] as const,
  );
  return new Map(all.filter(([, attestations]) => attestations.length > 0));
}

function fromProto(
  message: gatewaypb.Attestation,
  find: (id: string) => BridgeRef | undefined,
): Attestation<BridgeRef> {
  const { kind, inTotoPredicateType: predicateType, path, ref } = message;
  if (kind !== gatewaypb.AttestationKind.InToto && kind !== gatewaypb.AttestationKind.Bundle)
    throw new BuildError("invalid_argument", `unknown attestation kind ${String(kind)}`);
  if (isProvenanceType(predicateType))
    throw new BuildError("invalid_argument", "frontend may not set provenance attestations");
  return {
    kind: kind === gatewaypb.AttestationKind.Bundle ? "bundle" : "in-toto",
    metadata: new Map(Object.entries(message.metadata)),
    ref: ref === undefined ? undefined : find(ref.id),
    path,
    predicateType,
    subjects: message.inTotoSubjects.map(subjectFromProto),
  };
}

function subjectFromProto({ kind, name, digest }: gatewaypb.InTotoSubject): StatementSubject {
  if (kind !== gatewaypb.InTotoSubjectKind.Self && kind !== gatewaypb.InTotoSubjectKind.Raw)
    throw new BuildError("invalid_argument", `unknown attestation subject type ${String(kind)}`);
  const digests = digest.map((text) => {
    if (!isDigest(text))
      throw new BuildError("invalid_argument", `invalid checksum digest format: ${text.slice(0, 200)}`);
    return text;
  });
  return { kind: kind === gatewaypb.InTotoSubjectKind.Raw ? "raw" : "self", name, digests };
}

/** The statements of a result that a frontend asked for. */
export function attestationsToProto(attestations: BridgeAttestations): Record<string, gatewaypb.Attestations> {
  return Object.fromEntries(
    [...attestations].map(([platform, all]) => [
      platform,
      create(gatewaypb.AttestationsSchema, { attestation: all.map(toProto) }),
    ]),
  );
}

function toProto(attestation: Attestation<BridgeRef>): gatewaypb.Attestation {
  const { kind, metadata, ref, path, predicateType, subjects } = attestation;
  return create(gatewaypb.AttestationSchema, {
    kind: kind === "bundle" ? gatewaypb.AttestationKind.Bundle : gatewaypb.AttestationKind.InToto,
    metadata: Object.fromEntries(metadata),
    ...(ref !== undefined && { ref: create(gatewaypb.RefSchema, { id: ref.id, def: ref.definition }) }),
    path,
    inTotoPredicateType: predicateType,
    inTotoSubjects: subjects.map(({ kind: subject, name, digests }) =>
      create(gatewaypb.InTotoSubjectSchema, {
        kind: subject === "raw" ? gatewaypb.InTotoSubjectKind.Raw : gatewaypb.InTotoSubjectKind.Self,
        name,
        digest: [...digests],
      }),
    ),
  });
}
