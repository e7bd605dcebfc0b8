import { type Digest, formatReference, parseReference } from "@buildkit-ts/oci";
import type { Constraints } from "./constraints.ts";
import { invalid } from "./op-encoding.ts";
import { source } from "./sources.ts";
import type { State } from "./state.ts";

/** How the file is called that a blob becomes, and what it is like. */
export interface BlobOptions extends Constraints {
  readonly filename?: string;
  /** Permission bits. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** One blob of a registry as a file, by `repository@digest`. @throws {BuildError} `invalid_argument` for any other reference. */
export function imageBlob(ref: string, options: BlobOptions = {}): State {
  return blob("docker-image+blob", ref, { options });
}

/** One blob of an OCI layout that the client offers, as a file. */
export function ociLayoutBlob(
  ref: string,
  options: BlobOptions & { readonly sessionId?: string; readonly storeId?: string } = {},
): State {
  const { sessionId, storeId } = options;
  return blob("oci-layout+blob", ref, { options, layout: { sessionId, storeId } });
}

interface BlobSource {
  readonly options: BlobOptions;
  readonly layout?: { readonly sessionId: string | undefined; readonly storeId: string | undefined };
}

function blob(scheme: string, ref: string, { options, layout }: BlobSource): State {
  const attrs = new Map<string, string>();
  const set = (key: string, value: string | number | undefined): void => {
    if (value !== undefined && value !== "" && value !== 0) attrs.set(key, String(value));
  };
  set("http.filename", options.filename);
  set("http.perm", options.mode ? `0${(options.mode & 0o777).toString(8)}` : "");
  set("http.uid", options.uid);
  set("http.gid", options.gid);
  set("oci.session", layout?.sessionId);
  set("oci.store", layout?.storeId);
  const identifier = `${scheme}://${blobReference(ref)}`;
  return source(identifier, { attrs, caps: ["source.imageblob"], constraints: options });
}

function blobReference(text: string): string {
  const reference = parseReference(text);
  if (reference.tag !== undefined) throw invalid("tagged image reference not allowed for blob reference");
  const digest: Digest | undefined = reference.digest;
  if (digest === undefined) throw invalid("checksum required in blob reference");
  return formatReference(reference);
}
