import type { RemoteLayer } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { formatGoJson, formatTime } from "@buildkit-ts/gotext";
import { type HistoryEntry, hostPlatform } from "@buildkit-ts/oci";
import { joinMembers, splitMembers } from "../options/json-members.ts";
import { alignHistory, clampHistory, parseHistory } from "./image-history.ts";

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The config of a result that came without one: the host's platform, `/` and, but on Windows, a PATH. */
export function defaultImageConfig(): string {
  const { architecture, os, variant } = hostPlatform();
  return formatGoJson({
    architecture,
    os,
    ...(variant !== undefined && { variant }),
    config: { ...(os !== "windows" && { Env: [`PATH=${defaultPath}`] }), WorkingDir: "/" },
  });
}

/** What {@linkcode patchImageConfig} puts into a config. */
export interface ConfigPatch {
  readonly layers: readonly RemoteLayer[];
  /** Clamps all times to this many seconds since the epoch. */
  readonly epochSeconds: number | undefined;
  /** The base image's config, whose history keeps its times. */
  readonly baseConfig: Uint8Array | undefined;
  /** JSON of an inline cache. */
  readonly inlineCache: Uint8Array | undefined;
}

/**
 * The config with `rootfs`, `history` and `created` of what was really built. Members that are not known here stay.
 *
 * @throws {BuildError} `invalid_argument`, for a config that is none.
 */
export function patchImageConfig(config: Uint8Array | undefined, patch: ConfigPatch): Buffer {
  const text =
    config === undefined || config.length === 0 ? defaultImageConfig() : Buffer.from(config).toString("utf8");
  const members = splitMembers(text);
  for (const key of ["os", "architecture"]) {
    if (!/^"[^"]/.test(members.get(key) ?? ""))
      throw new BuildError("invalid_argument", `invalid image config for export: missing ${key}`);
  }
  const aligned = alignHistory(parseHistory(members.get("history")), patch.layers);
  const epochMs = patch.epochSeconds === undefined ? undefined : patch.epochSeconds * 1000;
  const history = epochMs === undefined ? aligned : clampHistory(aligned, epochMs, baseHistory(patch.baseConfig));
  members.set("rootfs", formatGoJson({ type: "layers", diff_ids: patch.layers.map((layer) => layer.diffId) }));
  members.set("history", formatGoJson(history));
  members.set("created", createdTime(members.get("created"), history, epochMs));
  if (patch.inlineCache !== undefined)
    // Go writes a byte slice as base64.
    members.set("moby.buildkit.cache.v0", formatGoJson(Buffer.from(patch.inlineCache).toString("base64")));
  return Buffer.from(joinMembers(members));
}

/** The layers that a config names; none, for no config. */
export function diffIdsOf(config: Uint8Array | undefined): readonly string[] {
  if (config === undefined || config.length === 0) return [];
  const rootfs: unknown = JSON.parse(splitMembers(Buffer.from(config).toString("utf8")).get("rootfs") ?? "null");
  if (typeof rootfs !== "object" || rootfs === null || !("diff_ids" in rootfs)) return [];
  const { diff_ids: ids } = rootfs;
  return Array.isArray(ids) ? ids.filter((id) => typeof id === "string") : [];
}

function baseHistory(config: Uint8Array | undefined): HistoryEntry[] {
  if (config === undefined || config.length === 0) return [];
  return parseHistory(splitMembers(Buffer.from(config).toString("utf8")).get("history"));
}

function createdTime(
  current: string | undefined,
  history: readonly HistoryEntry[],
  epochMs: number | undefined,
): string {
  if (current === undefined) {
    const last = history.findLast((entry) => entry.created !== undefined)?.created;
    return formatGoJson(last ?? null);
  }
  if (epochMs === undefined) return current;
  const parsed: unknown = JSON.parse(current);
  const time = typeof parsed === "string" ? Date.parse(parsed) : Number.NaN;
  if (parsed !== null && Number.isNaN(time))
    throw new BuildError(
      "invalid_argument",
      `failed to unmarshal creation time ${JSON.stringify(current.slice(0, 100))}`,
    );
  return time > epochMs ? formatGoJson(formatTime(epochMs)) : current;
}
