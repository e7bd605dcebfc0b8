import { formatPlatform, formatPlatformAll, normalizePlatform, type Platform, parsePlatform } from "@buildkit-ts/oci";
import { type Environment, EnvironmentList } from "../shell/environment.ts";

/** The platforms of one conversion. */
export interface PlatformContext {
  readonly target: Platform;
  readonly build: readonly Platform[];
  /** Whether nobody asked for the target platform: then the base image decides. */
  readonly implicit: boolean;
}

/** The arguments that every Dockerfile has before its first FROM; build arguments override them. */
export function predefinedArgs(
  platforms: PlatformContext,
  overrides: Readonly<Record<string, string>>,
  stage: string,
): EnvironmentList {
  const { target } = platforms;
  const build = platforms.build[0] ?? target;
  const defaults: readonly (readonly [string, string])[] = [
    ["BUILDPLATFORM", formatPlatform(build)],
    ["BUILDOS", build.os],
    ["BUILDOSVERSION", build["os.version"] ?? ""],
    ["BUILDARCH", build.architecture],
    ["BUILDVARIANT", build.variant ?? ""],
    ["TARGETPLATFORM", formatPlatformAll(target)],
    ["TARGETOS", target.os],
    ["TARGETOSVERSION", target["os.version"] ?? ""],
    ["TARGETARCH", target.architecture],
    ["TARGETVARIANT", target.variant ?? ""],
    ["TARGETSTAGE", stage === "" ? "default" : stage],
  ];
  return new EnvironmentList(
    defaults.map(([name, value]) => [name, Object.hasOwn(overrides, name) ? (overrides[name] ?? "") : value]),
  );
}

/** `->arm64` where a step builds for another platform than it runs on, by its TARGET variables. */
export function crossTarget(base: Platform, environment: Environment): string {
  const wanted = targetOf(environment);
  if (wanted === undefined) return "";
  const target = normalizePlatform({
    ...wanted,
    os: wanted.os || base.os,
    architecture: wanted.architecture || base.architecture,
  });
  if (target.os !== base.os) return `->${formatPlatformAll(target)}`;
  if (target.architecture === base.architecture) return "";
  return `->${target.architecture}${target.variant === undefined ? "" : `/${target.variant}`}`;
}

function targetOf(environment: Environment): Platform | undefined {
  let os = "";
  let architecture = "";
  let variant: string | undefined;
  let isSet = false;
  for (const name of environment.keys()) {
    const value = environment.get(name) ?? "";
    if (name === "TARGETPLATFORM") {
      const parsed = tryParse(value);
      if (parsed !== undefined) return parsed;
    } else if (name === "TARGETOS") os = value;
    else if (name === "TARGETARCH") architecture = value;
    else if (name === "TARGETVARIANT") variant = value;
    isSet ||= name === "TARGETOS" || name === "TARGETARCH" || name === "TARGETVARIANT";
  }
  return isSet ? { os, architecture, ...(variant && { variant }) } : undefined;
}

function tryParse(text: string): Platform | undefined {
  try {
    return parsePlatform(text);
  } catch {
    return undefined;
  }
}
