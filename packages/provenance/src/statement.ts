import type { Digest } from "@buildkit-ts/oci";
import type { StatementSubject } from "./attestation.ts";
import { type DigestSet, digestSet } from "./resource-descriptor.ts";

/** Media type of statements. */
export const statementMediaType = "application/vnd.in-toto+json";

/** Annotation of a layer that holds a statement. */
export const predicateTypeAnnotation = "in-toto.io/predicate-type";

/** An in-toto statement (https://in-toto.io/Statement/v1), in the order of its text. */
export interface Statement {
  readonly _type: string;
  readonly predicateType: string;
  readonly subject: readonly { readonly name: string; readonly digest: DigestSet }[];
  readonly predicate: unknown;
}

/** What stands for the result where a statement is about the result itself. */
export interface ResultSubject {
  readonly name: string;
  readonly digest: Digest;
}

/** A statement about a result; without subjects of its own, about the result itself. */
export function createStatement(
  stated: {
    readonly predicateType: string;
    readonly subjects: readonly StatementSubject[];
    readonly predicate: unknown;
  },
  results: readonly ResultSubject[],
): Statement {
  const own: StatementSubject = { kind: "self", name: "", digests: [] };
  const subjects = stated.subjects.length === 0 ? [own] : stated.subjects;
  return {
    _type: "https://in-toto.io/Statement/v1",
    predicateType: stated.predicateType,
    subject: subjects.flatMap((subject) => resolveSubject(subject, results)),
    predicate: stated.predicate,
  };
}

function resolveSubject(
  { kind, name, digests }: StatementSubject,
  results: readonly ResultSubject[],
): Statement["subject"] {
  const digestsOf = (all: readonly Digest[]): DigestSet => Object.assign({}, ...all.map(digestSet)) as DigestSet;
  if (kind === "raw") return [{ name: name === "" ? "_" : name, digest: digestsOf(digests) }];
  return results.flatMap((result) => {
    // `_` is in-toto's way to give no name.
    const names = name === "" || name === "_" ? [result.name] : [result.name, name];
    return names.map((one) => ({ name: one, digest: digestsOf([result.digest]) }));
  });
}
