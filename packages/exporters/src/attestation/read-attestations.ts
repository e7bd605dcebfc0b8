import { join } from "node:path/posix";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Attestation, attestationKeys, isProvenanceType, type StatementSubject } from "@buildkit-ts/provenance";
import type { ExportContext } from "../exporter.ts";
import { AttestationFiles } from "./attestation-files.ts";
import { parseBundledStatement } from "./bundled-statement.ts";
import { parseExactly } from "./exact-json.ts";

/** A statement that is ready to be written: what it states, and about what. */
export interface ReadyAttestation {
  readonly predicateType: string;
  readonly subjects: readonly StatementSubject[];
  readonly predicate: unknown;
  /** Whose last component names a file beside local outputs. */
  readonly path: string;
  readonly metadata: ReadonlyMap<string, Uint8Array>;
}

/**
 * Reads what attestations state, out of the trees that hold them; bundles become the statements that are in them. The
 * scan of the result itself comes first, since readers take the first one for it.
 *
 * @throws {BuildError} `invalid_argument`, for what a frontend must not state, and for files that are no statements.
 */
export async function readAttestations(
  attestations: readonly Attestation<ImmutableRef>[],
  context: ExportContext,
): Promise<ReadyAttestation[]> {
  for (const attestation of attestations) validate(attestation);
  const read = await Promise.all(
    attestations.map(async (attestation) =>
      attestation.kind === "bundle" ? await readBundle(attestation, context) : [await readOne(attestation, context)],
    ),
  );
  const all = read.flat();
  return [...all.filter(isCore), ...all.filter((one) => !isCore(one))];
}

function validate({ kind, path, ref, content, predicateType }: Attestation<ImmutableRef>): void {
  if (kind !== "bundle" && path === "") throw invalid("attestation does not have set path");
  if (ref === undefined && content === undefined) throw invalid("attestation does not have available content");
  if (kind === "bundle" && ref === undefined) throw invalid("no ref provided for attestation bundle");
  if (kind === "in-toto" && content === undefined && isProvenanceType(predicateType))
    throw invalid("frontend may not set provenance attestations");
}

async function readOne(attestation: Attestation<ImmutableRef>, context: ExportContext): Promise<ReadyAttestation> {
  const { predicateType, subjects, path, metadata } = attestation;
  const bytes = await contentOf(attestation, context);
  const text = Buffer.from(bytes).toString("utf8");
  return { predicateType, subjects, path, metadata, predicate: text === "" ? null : parsePredicate(text, path) };
}

async function contentOf(attestation: Attestation<ImmutableRef>, context: ExportContext): Promise<Uint8Array> {
  if (attestation.content !== undefined) return await attestation.content({ signal: context.signal });
  await using files = await AttestationFiles.open(attestation.ref, context);
  return files.read(attestation.path);
}

function parsePredicate(text: string, path: string): unknown {
  try {
    return parseExactly(text);
  } catch (cause) {
    const name = JSON.stringify(path.slice(0, 200));
    throw new BuildError("invalid_argument", `failed to marshal attestation: ${name} is not JSON`, { cause });
  }
}

async function readBundle(bundle: Attestation<ImmutableRef>, context: ExportContext): Promise<ReadyAttestation[]> {
  await using files = await AttestationFiles.open(bundle.ref, context);
  return files.list(bundle.path).map((name) => {
    const path = join(bundle.path, name);
    const { predicateType, subjects, predicate } = parseBundledStatement(files.read(path));
    if (bundle.predicateType !== "" && predicateType !== bundle.predicateType)
      throw invalid(
        `bundle entry ${predicateType.slice(0, 200)} does not match required predicate type ${bundle.predicateType}`,
      );
    if (isProvenanceType(predicateType)) throw invalid("frontend may not bundle provenance attestations");
    return { predicateType, subjects, predicate, path, metadata: bundle.metadata };
  });
}

function isCore({ path, metadata }: ReadyAttestation): boolean {
  const core = metadata.get(attestationKeys.sbomCore);
  return core !== undefined && path.split(".", 1)[0] === Buffer.from(core).toString("utf8");
}

function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}
