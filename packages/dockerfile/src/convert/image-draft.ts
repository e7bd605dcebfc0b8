import { sortKeys } from "@buildkit-ts/gotext";
import type { HealthConfig, HistoryEntry, ImageConfig, Platform, RunConfig } from "@buildkit-ts/oci";
import { encodeJson } from "../text/encode-json.ts";
import { invalid, prefixError } from "../text/located-error.ts";

/** The search path of processes where an image has none; Windows knows its own. */
export const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const historyComment = "buildkit.dockerfile.v0";

/** An image's config while a stage is converted. */
export interface ImageDraft extends Omit<ImageConfig, "config" | "history" | "rootfs"> {
  config: RunConfig;
  history: HistoryEntry[];
  rootfs: { type: string; diff_ids: string[] | null };
}

/** The config of `FROM scratch`. */
export function scratchImage(platform: Platform): ImageDraft {
  return {
    ...(platform.architecture !== "" && { architecture: platform.architecture }),
    ...(platform.os !== "" && { os: platform.os }),
    ...(platform["os.version"] !== undefined && { "os.version": platform["os.version"] }),
    ...(platform["os.features"] !== undefined && { "os.features": [...platform["os.features"]] }),
    ...(platform.variant !== undefined && { variant: platform.variant }),
    rootfs: { type: "layers", diff_ids: null },
    config: { WorkingDir: "/", ...(platform.os !== "windows" && { Env: [`PATH=${defaultPath}`] }) },
    history: [],
  };
}

/** An image config that says nothing. */
export function blankImage(): ImageDraft {
  return { config: {}, history: [], rootfs: { type: "", diff_ids: null } };
}

/** @throws {BuildError} `invalid_argument` if the bytes are no JSON object. */
export function parseImage(bytes: Uint8Array): ImageDraft {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw prefixError("failed to parse image config", error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid("failed to parse image config: not an object");
  const raw = value as Partial<ImageDraft>;
  return {
    ...raw,
    config: objectOr(raw.config, {}),
    history: Array.isArray(raw.history) ? raw.history : [],
    rootfs: objectOr(raw.rootfs, { type: "", diff_ids: null }),
  };
}

function objectOr<T extends object>(value: T | null | undefined, fallback: T): T {
  return typeof value === "object" && value !== null ? value : fallback;
}

/** A copy to go on with. Members of the config are replaced, never changed, so they are shared. */
export function copyImage(image: ImageDraft): ImageDraft {
  return { ...image, config: { ...image.config }, history: [...image.history] };
}

/** Adds a line to the image's history. */
export function commit(
  image: ImageDraft,
  createdBy: string,
  options: { readonly layer?: boolean; readonly epochSeconds: bigint | undefined },
): void {
  image.history.push({
    ...(options.epochSeconds !== undefined && { created: formatSeconds(options.epochSeconds) }),
    created_by: createdBy,
    comment: historyComment,
    ...(options.layer !== true && { empty_layer: true }),
  });
}

function formatSeconds(seconds: bigint): string {
  const date = new Date(Number(seconds) * 1000);
  if (Number.isNaN(date.getTime())) throw invalid(`invalid SOURCE_DATE_EPOCH: ${seconds}`);
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}

/** Sets a variable in place, or adds it. */
export function setImageEnv(image: ImageDraft, key: string, value: string): void {
  const env = [...(image.config.Env ?? [])];
  const at = env.findIndex((entry) => entry === key || entry.startsWith(`${key}=`));
  if (at < 0) env.push(`${key}=${value}`);
  else env[at] = `${key}=${value}`;
  image.config.Env = env;
}

/**
 * The config's JSON, byte for byte as the reference writes it: member order, omitted empties, sorted maps.
 *
 * Members that the image spec does not know are dropped, as there: the config's digest is the image's id.
 */
export function encodeImage(image: ImageDraft): Uint8Array {
  const { rootfs } = image;
  return encodeJson({
    created: formatTime(image.created),
    author: text(image.author),
    architecture: image.architecture ?? "",
    os: image.os ?? "",
    "os.version": text(image["os.version"]),
    "os.features": list(image["os.features"]),
    variant: text(image.variant),
    rootfs: { type: rootfs.type ?? "", diff_ids: rootfs.diff_ids ?? null },
    history: list(image.history?.map(encodeHistory)),
    config: encodeRunConfig(image.config),
  });
}

function encodeHistory(entry: HistoryEntry): HistoryEntry {
  return {
    created: formatTime(entry.created),
    created_by: text(entry.created_by),
    author: text(entry.author),
    comment: text(entry.comment),
    empty_layer: entry.empty_layer === true ? true : undefined,
  } as HistoryEntry;
}

function encodeRunConfig(config: RunConfig): object {
  return {
    User: text(config.User),
    ExposedPorts: map(config.ExposedPorts),
    Env: list(config.Env),
    Entrypoint: list(config.Entrypoint),
    Cmd: list(config.Cmd),
    Volumes: map(config.Volumes),
    WorkingDir: text(config.WorkingDir),
    Labels: map(config.Labels),
    StopSignal: text(config.StopSignal),
    ArgsEscaped: config.ArgsEscaped === true ? true : undefined,
    Healthcheck: config.Healthcheck && encodeHealth(config.Healthcheck),
    OnBuild: list(config.OnBuild),
    Shell: list(config.Shell),
  };
}

function encodeHealth(health: HealthConfig): object {
  return {
    Test: list(health.Test),
    Interval: health.Interval || undefined,
    Timeout: health.Timeout || undefined,
    StartPeriod: health.StartPeriod || undefined,
    StartInterval: health.StartInterval || undefined,
    Retries: health.Retries || undefined,
  };
}

function text(value: string | null | undefined): string | undefined {
  return value === null || value === "" ? undefined : value;
}

function list<T>(items: readonly T[] | null | undefined): readonly T[] | undefined {
  return Array.isArray(items) && items.length > 0 ? items : undefined;
}

function map<T>(record: Readonly<Record<string, T>> | null | undefined): Record<string, T> | undefined {
  if (record === null || record === undefined || Object.keys(record).length === 0) return undefined;
  return sortKeys(record);
}

/** A timestamp in Go's spelling: no zeros at the end of the fraction, `Z` for UTC. */
function formatTime(time: string | null | undefined): string | undefined {
  if (time === null || time === undefined) return undefined;
  const match = /^(.*?)(?:\.(\d+))?(Z|[-+]\d\d:\d\d)$/.exec(time);
  if (match === null) return time;
  const fraction = (match[2] ?? "").slice(0, 9).replace(/0+$/, "");
  const zone = match[3] === "+00:00" ? "Z" : (match[3] ?? "");
  return `${match[1] ?? ""}${fraction === "" ? "" : `.${fraction}`}${zone}`;
}
