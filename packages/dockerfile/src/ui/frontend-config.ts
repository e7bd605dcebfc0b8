import { parseBool, quote } from "@buildkit-ts/gotext";
import { hostPlatform, normalizePlatform, type Platform, parsePlatform } from "@buildkit-ts/oci";
import type { ConvertSettings } from "../convert/convert-options.ts";
import type { FrontendClient } from "../frontend-client.ts";
import { type LintOptions, parseLintOptions } from "../lint/lint-options.ts";
import { invalid, prefixError } from "../text/located-error.ts";
import { readAttestationRequests, type SbomRequest } from "./attestation-requests.ts";
import { parseExtraHosts, parseInteger, parseLinuxResources, parseUlimits, withPrefix } from "./option-values.ts";

/** A cache that solves import. */
export interface CacheImport {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** Everything the client's options say. */
export interface FrontendConfig {
  readonly options: Readonly<Record<string, string>>;
  /** Empty means the default platform. */
  readonly targetPlatforms: readonly Platform[];
  readonly cacheImports: readonly CacheImport[];
  /** How the result shall be scanned, if it shall. */
  readonly sbom: SbomRequest | undefined;
  readonly settings: Omit<ConvertSettings, "targetPlatform" | "sourceMap" | "warn" | "allStages">;
}

/** Reads the options. @throws {BuildError} `invalid_argument` naming the option. */
export function readConfig(client: FrontendClient): FrontendConfig {
  const { options } = client;
  checkRemoved(client);
  const { sbom } = readAttestationRequests(options);
  const targetPlatforms = readPlatforms(options["platform"] ?? "");
  const settings = {
    buildArgs: withPrefix(options, "build-arg:"),
    labels: withPrefix(options, "label:"),
    target: options["target"] ?? "",
    buildPlatforms: [client.workerPlatforms[0] ?? hostPlatform()],
    multiPlatform: isMultiPlatform(options, targetPlatforms.length),
    resolveMode: readResolveMode(options["image-resolve-mode"] ?? ""),
    network: readNetwork(options["force-network-mode"] ?? ""),
    cacheNamespace: options["build-arg:BUILDKIT_CACHE_MOUNT_NS"] ?? "",
    extraHosts: named("failed to parse additional hosts", () => parseExtraHosts(options["add-hosts"] ?? "")),
    shmSizeBytes: named("failed to parse shm size", () => parseInteger(options["shm-size"] || "0")),
    ulimits: named("failed to parse ulimit", () => parseUlimits(options["ulimit"] ?? "")),
    cgroupParent: options["cgroup-parent"] ?? "",
    hostname: options["build-arg:BUILDKIT_SANDBOX_HOSTNAME"] || (options["hostname"] ?? ""),
    linuxResources: named("failed to parse resource limits", () => parseLinuxResources(options)),
    isNoCache: noCacheRule(options["no-cache"]),
    lint: readLint(options["build-arg:BUILDKIT_DOCKERFILE_CHECK"]),
  };
  return { options, sbom, targetPlatforms, cacheImports: readCacheImports(options), settings };
}

function named<T>(prefix: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw prefixError(prefix, error);
  }
}

function checkRemoved({ options, llbCapabilities }: FrontendClient): void {
  if (!llbCapabilities.has("file.base")) throw invalid("needs BuildKit 0.5 or later");
  if (options["override-copy-image"]) throw invalid('support for "override-copy-image" was removed in BuildKit 0.11');
  if (parseBool(options["build-arg:BUILDKIT_DISABLE_FILEOP"] ?? "") === true)
    throw invalid('support for "BUILDKIT_DISABLE_FILEOP" build-arg was removed in BuildKit 0.11');
}

function readPlatforms(text: string): Platform[] {
  if (text === "") return [];
  return text
    .split(",")
    .map((one) => named(`failed to parse target platform ${one}`, () => normalizePlatform(parsePlatform(one))));
}

function isMultiPlatform(options: Readonly<Record<string, string>>, targets: number): boolean {
  const text = options["build-arg:BUILDKIT_MULTI_PLATFORM"] || (options["multi-platform"] ?? "");
  if (text === "") return targets > 1;
  const value = parseBool(text);
  if (value === undefined) throw invalid(`invalid boolean value for multi-platform: ${text}`);
  if (!value && targets > 1) throw invalid("conflicting config: returning multiple target platforms is not allowed");
  return value;
}

function readResolveMode(text: string): ConvertSettings["resolveMode"] {
  if (text === "" || text === "default") return "default";
  if (text === "pull" || text === "local") return text;
  throw invalid(`invalid image-resolve-mode: ${text}`);
}

function readNetwork(text: string): ConvertSettings["network"] {
  if (text === "") return "sandbox";
  if (text === "none" || text === "host" || text === "sandbox") return text;
  throw invalid(`invalid netmode ${text}`);
}

function noCacheRule(text: string | undefined): (stage: string) => boolean {
  if (text === undefined) return () => false;
  if (text === "") return () => true;
  const names = text.split(",").map((name) => name.toLowerCase());
  return (stage) => names.includes(stage.toLowerCase());
}

function readLint(text: string | undefined): LintOptions | undefined {
  if (text === undefined) return undefined;
  return named("failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK", () => parseLintOptions(text));
}

function readCacheImports(options: Readonly<Record<string, string>>): CacheImport[] {
  const json = options["cache-imports"] ?? "";
  const registries = (options["cache-from"] ?? "").split(",").filter((ref) => ref !== "");
  return [
    ...(json === "" ? [] : parseCacheImports(json)),
    ...registries.map((ref) => ({ type: "registry", attributes: { ref } })),
  ];
}

function parseCacheImports(json: string): CacheImport[] {
  const failed = `failed to unmarshal cache-imports (${quote(json)})`;
  const value: unknown = named(failed, () => JSON.parse(json));
  if (value === null) return [];
  if (!Array.isArray(value)) throw invalid(`${failed}: not an array`);
  return value.map((item: unknown) => {
    if (typeof item !== "object" || item === null) throw invalid(`${failed}: not an object`);
    // The reference reads member names in any case.
    const members = new Map(Object.entries(item).map(([key, member]) => [key.toLowerCase(), member as unknown]));
    const type = members.get("type");
    const attributes = members.get("attrs");
    const pairs = typeof attributes === "object" && attributes !== null ? Object.entries(attributes) : [];
    return {
      type: typeof type === "string" ? type : "",
      attributes: Object.fromEntries(pairs.map(([key, member]) => [key, String(member)])),
    };
  });
}
