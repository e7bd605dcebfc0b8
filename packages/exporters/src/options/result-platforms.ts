import { BuildError } from "@buildkit-ts/errdefs";
import { formatPlatformAll, hostPlatform, type ImageConfig, normalizePlatform, type Platform } from "@buildkit-ts/oci";
import type { ExportInput } from "../exporter.ts";

/** One platform of a result: its id in the maps, and what it is. */
export interface ResultPlatform {
  readonly id: string;
  readonly platform: Platform;
}

/**
 * The platforms of a result: those of `refs.platforms`, else the one of the image config, else the host's.
 *
 * @throws {BuildError} `invalid_argument`, for metadata that a frontend must not send.
 */
export function resultPlatforms(metadata: ReadonlyMap<string, Uint8Array>): ResultPlatform[] {
  const mapping = metadata.get("refs.platforms");
  if (mapping !== undefined) return parseMapping(mapping);
  const config = metadata.get("containerimage.config");
  const platform = normalizePlatform(config === undefined ? hostPlatform() : configPlatform(config));
  return [{ id: formatPlatformAll(platform), platform }];
}

/** The result's ref for a platform id: a single result is the same for all. */
export function findRef(input: ExportInput, id: string): ExportInput["ref"] {
  if (input.refs.size === 0) return input.ref;
  if (!input.refs.has(id)) throw new BuildError("invalid_argument", `failed to find ref for ID ${id.slice(0, 200)}`);
  return input.refs.get(id);
}

/** Metadata for a platform, or for the whole result. */
export function platformMetadata(
  metadata: ReadonlyMap<string, Uint8Array>,
  key: string,
  platform: string,
): Uint8Array | undefined {
  return metadata.get(`${key}/${platform}`) ?? metadata.get(key);
}

/** @throws {BuildError} `invalid_argument`, for maps of refs that nothing says the platforms of, and the reverse. */
export function checkPlatforms(input: ExportInput, platforms: readonly ResultPlatform[]): void {
  if (input.refs.size > 0 && !input.metadata.has("refs.platforms"))
    throw new BuildError("invalid_argument", "unable to export multiple refs, missing platforms mapping");
  if (input.refs.size === 0 && platforms.length > 1)
    throw new BuildError("invalid_argument", "unable to export multiple platforms without map");
}

function parseMapping(bytes: Uint8Array): ResultPlatform[] {
  const value = bytes.length === 0 ? {} : parseJson(bytes, "failed to parse platforms passed to provenance processor");
  const list = isRecord(value) ? value["Platforms"] : undefined;
  if (!Array.isArray(list) || list.length === 0)
    throw new BuildError("invalid_argument", "invalid empty platforms index for exporter");
  return list.map((entry: unknown) => {
    const id = isRecord(entry) ? entry["ID"] : undefined;
    const platform = isRecord(entry) ? entry["Platform"] : undefined;
    if (typeof id !== "string" || id === "")
      throw new BuildError("invalid_argument", "invalid empty platform key for exporter");
    return { id, platform: normalizePlatform(toPlatform(platform)) };
  });
}

function toPlatform(value: unknown): Platform {
  const fields = isRecord(value) ? value : {};
  const text = (key: string): string | undefined =>
    typeof fields[key] === "string" && fields[key] !== "" ? fields[key] : undefined;
  const [os, architecture, variant, version] = [text("os"), text("architecture"), text("variant"), text("os.version")];
  if (os === undefined || architecture === undefined)
    throw new BuildError(
      "invalid_argument",
      `invalid platform value ${JSON.stringify(fields).slice(0, 200)} for exporter`,
    );
  const features = fields["os.features"];
  return {
    os,
    architecture,
    ...(variant !== undefined && { variant }),
    ...(version !== undefined && { "os.version": version }),
    ...(Array.isArray(features) && features.length > 0 && { "os.features": features.map(String) }),
  };
}

function configPlatform(bytes: Uint8Array): Platform {
  const config = parseJson(bytes, "invalid image config for export") as ImageConfig | null;
  if (config === null) throw new BuildError("invalid_argument", "invalid null image config for export");
  if (typeof config !== "object" || !config.os !== !config.architecture)
    throw new BuildError("invalid_argument", "invalid image config: os and architecture must be specified together");
  return config.os ? toPlatform(config) : hostPlatform();
}

function parseJson(bytes: Uint8Array, failure: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (error) {
    throw new BuildError("invalid_argument", `${failure}: not JSON`, { cause: error });
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
