import type { controlpb } from "@buildkit-ts/api";
import { type AttestationRequests, readAttestationRequests } from "@buildkit-ts/dockerfile";
import { BuildError } from "@buildkit-ts/errdefs";
import { type ProvenanceOptions, parseProvenanceOptions } from "@buildkit-ts/provenance";

/** The newest set of defaults that clients may ask for, and those before it. */
const compatibilityVersions = [10, 20, 30] as const;
const currentVersion = 30;

export interface TypedAttributes {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** A `SolveRequest` with its deprecated fields folded into the present ones and its values checked. */
export interface BuildRequest {
  readonly ref: string;
  readonly session: string;
  readonly internal: boolean;
  readonly exporters: readonly TypedAttributes[];
  readonly cacheExports: readonly TypedAttributes[];
  readonly cacheImports: readonly TypedAttributes[];
  readonly entitlements: readonly string[];
  /** Which statements about the result the client wants. */
  readonly attestations: AttestationRequests;
  readonly provenance: ProvenanceOptions | undefined;
  readonly compatibilityVersion: number;
  readonly message: controlpb.SolveRequest;
}

/** @throws {BuildError} naming the field that cannot be used. */
export function readBuildRequest(message: controlpb.SolveRequest): BuildRequest {
  if (message.Ref === "") throw new BuildError("invalid_argument", "Cannot solve: the request has no Ref");
  const version = Number(message.CompatibilityVersion);
  if (version > currentVersion) {
    throw new BuildError("invalid_argument", `unsupported compatibility version ${version}, upgrade buildkit`);
  }
  if (version !== 0 && !compatibilityVersions.some((known) => known === version)) {
    throw new BuildError("invalid_argument", `invalid compatibility version ${version}`);
  }
  const attestations = readAttestationRequests(message.FrontendAttrs);
  const cacheExports = readCacheExports(message);
  const imports = message.Cache?.Imports.map(({ Type, Attrs }) => ({ type: Type, attributes: Attrs })) ?? [];
  const legacyImports =
    message.Cache?.ImportRefsDeprecated.map((ref) => ({ type: "registry", attributes: { ref } })) ?? [];
  return {
    ref: message.Ref,
    session: message.Session,
    internal: message.Internal,
    exporters: readExporters(message),
    cacheExports,
    cacheImports: [...imports, ...legacyImports],
    entitlements: message.Entitlements,
    attestations,
    provenance: attestations.provenance && parseProvenanceOptions(attestations.provenance),
    compatibilityVersion: version === 0 ? currentVersion : version,
    message,
  };
}

function readExporters(message: controlpb.SolveRequest): TypedAttributes[] {
  const legacy = message.ExporterDeprecated;
  const named = message.Exporters.map(({ Type, Attrs }) => ({ type: Type, attributes: Attrs }));
  const exporters =
    named.length > 0 || legacy === "" ? named : [{ type: legacy, attributes: message.ExporterAttrsDeprecated }];
  const epoch = message.FrontendAttrs["build-arg:SOURCE_DATE_EPOCH"] ?? "";
  if (!/^-?\d+$/.test(epoch)) return exporters;
  return exporters.map(({ type, attributes }) => ({ type, attributes: { "source-date-epoch": epoch, ...attributes } }));
}

function readCacheExports(message: controlpb.SolveRequest): TypedAttributes[] {
  const exports = message.Cache?.Exports.map(({ Type, Attrs }) => ({ type: Type, attributes: Attrs })) ?? [];
  const legacy = message.Cache?.ExportRefDeprecated ?? "";
  if (legacy !== "") {
    exports.push({ type: "registry", attributes: { ...message.Cache?.ExportAttrsDeprecated, ref: legacy } });
  }
  // One image has one inline cache, however often it is asked for.
  const inline = exports.findIndex(({ type }) => type === "inline");
  const wanted = exports.filter(({ type }, index) => type !== "inline" || index === inline);
  const seen = new Set<string>();
  const doubled = new Set<string>();
  for (const entry of wanted) {
    const key = placeOf(entry);
    if (seen.has(key)) doubled.add(entry.type);
    seen.add(key);
  }
  if (doubled.size > 0) throw new BuildError("unknown", `duplicate cache exports [${[...doubled].join(" ")}]`);
  return wanted;
}

/** What two exports may not have in common; in a registry the name alone, whatever else is said of it. */
function placeOf({ type, attributes }: TypedAttributes): string {
  const { ref = "" } = attributes;
  return type === "registry" && ref !== "" ? ref : JSON.stringify([type, sortedEntries(attributes)]);
}

/** Attributes in one order, so that equal ones compare equal. */
export function sortedEntries(attributes: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1));
}
