import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, isDigest } from "@buildkit-ts/oci";
import type { StatementSubject } from "@buildkit-ts/provenance";
import { parseExactly } from "./exact-json.ts";

/** What a whole statement of a bundle says. */
export interface BundledStatement {
  readonly predicateType: string;
  readonly subjects: readonly StatementSubject[];
  readonly predicate: unknown;
}

/** @throws {BuildError} `invalid_argument`, for a file that is not one in-toto statement. */
export function parseBundledStatement(bytes: Buffer): BundledStatement {
  const value = parse(bytes);
  const predicateType = value["predicateType"];
  const subject = value["subject"] ?? [];
  if (typeof predicateType !== "string" || !Array.isArray(subject)) throw invalid();
  return { predicateType, subjects: subject.map(parseSubject), predicate: value["predicate"] ?? null };
}

function parse(bytes: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parseExactly(bytes.toString("utf8"));
  } catch (cause) {
    throw invalid(cause);
  }
  if (!isRecord(value)) throw invalid();
  return value;
}

function parseSubject(subject: unknown): StatementSubject {
  if (!isRecord(subject)) throw invalid();
  const { name = "", digest = {} } = subject;
  if (typeof name !== "string" || !isRecord(digest)) throw invalid();
  const digests = Object.entries(digest).map(([algorithm, hex]) => {
    const text = `${algorithm}:${String(hex)}`;
    if (!isDigest(text)) throw invalid();
    return text as Digest;
  });
  return { kind: "raw", name, digests };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(cause?: unknown): BuildError {
  return new BuildError("invalid_argument", "cannot decode in-toto statement", cause === undefined ? {} : { cause });
}
