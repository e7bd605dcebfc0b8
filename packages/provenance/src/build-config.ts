import { opspb } from "@buildkit-ts/api";
import { type DecodedDefinition, type DecodedInput, type Definition, decodeDefinition } from "@buildkit-ts/llb";
import { type Digest, digestOf } from "@buildkit-ts/oci";
import { goStruct, type JsonValue } from "./go-struct.ts";
import { redactCredentialsIn } from "./redact-credentials.ts";

/** The steps of a result, as provenance lists them. */
export interface BuildConfig {
  readonly llbDefinition: readonly BuildStep[];
  /** Step ids by the digest of the vertex. */
  readonly digestMapping: Readonly<Record<string, string>>;
}

export interface BuildStep {
  readonly id: string;
  /** Without its inputs, and without what names a session. */
  readonly op: JsonValue;
  /** `step<index>:<output>`. */
  readonly inputs?: readonly string[];
}

/** The files that steps come from, with the places of each step. */
export interface SourceMapping {
  readonly locations?: Readonly<Record<string, JsonValue>>;
  readonly infos: readonly SourceFileInfo[];
}

export interface SourceFileInfo extends Partial<BuildConfig> {
  readonly filename?: string;
  readonly language?: string;
  /** Base64. */
  readonly data?: string;
}

/** How a definition makes its result. */
export interface DescribedBuild {
  readonly config: BuildConfig;
  readonly source: SourceMapping | undefined;
}

export function describeBuild(definition: Definition): DescribedBuild {
  const config = describeSteps(definition);
  return { config, source: describeSource(definition.source, config.digestMapping) };
}

function describeSteps(definition: Definition): BuildConfig {
  const decoded = decodeDefinition(definition);
  const ids = new Map<Digest, string>(decoded.ops.map(({ digest }, index) => [digest, `step${index}`]));
  const steps = decoded.ops.map((step) => toStep(step, ids));
  const terminal = terminalStep(definition, decoded, ids);
  return {
    llbDefinition: [...steps, terminal.step],
    digestMapping: Object.fromEntries([...ids, [terminal.digest, terminal.step.id]]),
  };
}

function toStep({ digest, op, inputs }: DecodedDefinition["ops"][number], ids: ReadonlyMap<Digest, string>): BuildStep {
  return {
    id: ids.get(digest) ?? "",
    op: goStruct(opspb.OpSchema, withoutPrivate({ ...op, inputs: [] })),
    ...(inputs.length > 0 && { inputs: inputs.map((input) => inputName(input, ids)) }),
  };
}

/** The last op of a definition does nothing but name the result. */
function terminalStep(
  definition: Definition,
  { root }: DecodedDefinition,
  ids: ReadonlyMap<Digest, string>,
): { readonly digest: Digest; readonly step: BuildStep } {
  const digest = digestOf(definition.def.at(-1) ?? new Uint8Array());
  return { digest, step: { id: `step${ids.size}`, op: { Op: {} }, inputs: [inputName(root, ids)] } };
}

function inputName({ digest, index }: DecodedInput, ids: ReadonlyMap<Digest, string>): string {
  return `${ids.get(digest) ?? ""}:${index}`;
}

/**
 * Ids of sessions say nothing to anybody but the client that had them, and differ each time; credentials in URLs are
 * nobody else's business.
 */
function withoutPrivate(op: opspb.Op): opspb.Op {
  if (op.op.case !== "source") return op;
  const { "local.session": _session, "local.unique": _unique, ...rest } = op.op.value.attrs;
  const attrs = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, redactCredentialsIn(value)]));
  const identifier = redactCredentialsIn(op.op.value.identifier);
  return { ...op, op: { case: "source", value: { ...op.op.value, identifier, attrs } } };
}

function describeSource(
  source: opspb.Source | undefined,
  steps: Readonly<Record<string, string>>,
): SourceMapping | undefined {
  if (source === undefined || source.infos.length === 0) return undefined;
  const places = Object.entries(source.locations)
    .flatMap(([digest, place]) => {
      const step = steps[digest];
      return step === undefined ? [] : [[step, goStruct(opspb.LocationsSchema, place)] as const];
    })
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    ...(places.length > 0 && { locations: Object.fromEntries(places) }),
    infos: source.infos.map(describeFile),
  };
}

function describeFile(info: opspb.SourceInfo): SourceFileInfo {
  const { filename, language, data, definition } = info;
  const hasSteps = definition !== undefined && definition.def.length > 0;
  return {
    ...(filename !== "" && { filename }),
    ...(language !== "" && { language }),
    ...(data.length > 0 && { data: Buffer.from(data).toString("base64") }),
    ...(hasSteps && describeSteps({ def: definition.def, metadata: new Map(), source: undefined })),
  };
}
