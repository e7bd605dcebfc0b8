import { basename, extname } from "node:path/posix";
import { BuildError } from "@buildkit-ts/errdefs";
import { formatGoJson } from "@buildkit-ts/gotext";
import { createStatement, isInlineOnly, type ResultSubject } from "@buildkit-ts/provenance";
import type { ExportContext, ExportInput } from "../exporter.ts";
import { hashFiles } from "./hash-files.ts";
import { type ReadyAttestation, readAttestations } from "./read-attestations.ts";

/** A statement as a file beside the files that it is about. */
export interface StatementFile {
  readonly name: string;
  readonly bytes: Buffer;
}

/** How statements are named beside the files of one tree. */
export interface StatementNaming {
  /** `attestation-prefix`. */
  readonly prefix: string;
  /** Platform id that the names need, since files of several platforms come together; else undefined. */
  readonly platform: string | undefined;
}

/**
 * The statements about a tree, each about all of its regular files. Those that are for images only are left out.
 *
 * @throws {BuildError} `invalid_argument`, for names that are none, and for two statements of one name.
 */
export async function statementFiles(
  attestations: NonNullable<ReturnType<ExportInput["attestations"]["get"]>>,
  tree: { readonly directory: string; readonly naming: StatementNaming },
  context: ExportContext,
): Promise<StatementFile[]> {
  const wanted = attestations.filter((attestation) => !isInlineOnly(attestation));
  if (wanted.length === 0) return [];
  const ready = await readAttestations(wanted, context);
  const subjects = await hashFiles(tree.directory, context);
  const names = new Set<string>();
  return ready.map((attestation) => {
    const name = fileName(attestation, tree.naming);
    if (names.has(name)) throw new BuildError("invalid_argument", `duplicate attestation path name ${name}`);
    names.add(name);
    return { name, bytes: encode(attestation, subjects) };
  });
}

function encode(attestation: ReadyAttestation, subjects: readonly ResultSubject[]): Buffer {
  return Buffer.from(formatGoJson(createStatement(attestation, subjects), "  "));
}

function fileName({ path }: ReadyAttestation, { prefix, platform }: StatementNaming): string {
  const name = `${prefix}${basename(path)}`;
  if (basename(path) === "" || name.includes("/") || name.includes("\0") || name === "." || name === "..")
    throw new BuildError(
      "invalid_argument",
      `Cannot write attestation ${JSON.stringify(name.slice(0, 200))}: not a file name`,
    );
  if (platform === undefined) return name;
  const extension = extname(name);
  return `${name.slice(0, name.length - extension.length)}.${platform.replaceAll("/", "_")}${extension}`;
}
