import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { gatewaypb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { isDigest } from "@buildkit-ts/oci";
import { type Attestation, isProvenanceType, type StatementSubject } from "./attestation.ts";

type Messages = Readonly<Record<string, gatewaypb.Attestations>>;

/** Statements about a result, by platform. */
export type Attestations<R> = ReadonlyMap<string, readonly Attestation<R>[]>;

/** The statements with their trees in other terms. */
export function mapRefs<R, S>(
  attestations: Attestations<R>,
  map: (ref: R | undefined) => S | undefined,
): Attestations<S> {
  return new Map(
    [...attestations].map(([platform, all]) => [platform, all.map((one) => ({ ...one, ref: map(one.ref) }))]),
  );
}

/**
 * What a frontend states about its result.
 *
 * @throws {BuildError} `invalid_argument`, for kinds that are unknown, and for provenance, which only the daemon states.
 */
export function attestationsFromProto<R>(
  messages: Messages,
  find: (ref: gatewaypb.Ref) => R | undefined,
): Attestations<R> {
  const all = Object.entries(messages).map(
    ([platform, { attestation }]) => [platform, attestation.map((message) => fromProto(message, find))] as const,
  );
  return new Map(all.filter(([, attestations]) => attestations.length > 0));
}

function fromProto<R>(message: gatewaypb.Attestation, find: (ref: gatewaypb.Ref) => R | undefined): Attestation<R> {
  const { kind, inTotoPredicateType: predicateType, path, ref } = message;
  if (kind !== gatewaypb.AttestationKind.InToto && kind !== gatewaypb.AttestationKind.Bundle)
    throw new BuildError("invalid_argument", `unknown attestation kind ${String(kind)}`);
  if (isProvenanceType(predicateType))
    throw new BuildError("invalid_argument", "frontend may not set provenance attestations");
  return {
    kind: kind === gatewaypb.AttestationKind.Bundle ? "bundle" : "in-toto",
    metadata: new Map(Object.entries(message.metadata)),
    ref: ref === undefined ? undefined : find(ref),
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
export function attestationsToProto<R>(
  attestations: Attestations<R>,
  refMessage: (ref: R) => MessageInitShape<typeof gatewaypb.RefSchema>,
): Record<string, gatewaypb.Attestations> {
  return Object.fromEntries(
    [...attestations].map(([platform, all]) => [
      platform,
      create(gatewaypb.AttestationsSchema, { attestation: all.map((one) => toProto(one, refMessage)) }),
    ]),
  );
}

function toProto<R>(
  attestation: Attestation<R>,
  refMessage: (ref: R) => MessageInitShape<typeof gatewaypb.RefSchema>,
): gatewaypb.Attestation {
  const { kind, metadata, ref, path, predicateType, subjects } = attestation;
  return create(gatewaypb.AttestationSchema, {
    kind: kind === "bundle" ? gatewaypb.AttestationKind.Bundle : gatewaypb.AttestationKind.InToto,
    metadata: Object.fromEntries(metadata),
    ...(ref !== undefined && { ref: refMessage(ref) }),
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
