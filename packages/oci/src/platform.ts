import { BuildError } from "@buildkit-ts/errdefs";

/** The machine an image runs on (OCI image spec, image-index.md "platform"), normalised. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly "os.version"?: string;
  readonly "os.features"?: readonly string[];
}

const archAliases: Readonly<Record<string, readonly [string, string?]>> = {
  i386: ["386"],
  x86_64: ["amd64"],
  "x86-64": ["amd64"],
  aarch64: ["arm64"],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
};
const osAliases: Readonly<Record<string, string>> = { macos: "darwin" };

/** One spelling for each platform: `arm64/v8` and `amd64/v1` lose their variant, `arm` gets `v7`. */
export function normalizePlatform(platform: Platform): Platform {
  const lowerOs = platform.os.toLowerCase();
  const [architecture, aliasVariant] = archAliases[platform.architecture.toLowerCase()] ?? [
    platform.architecture.toLowerCase(),
  ];
  const variant = normalizeVariant(architecture, (platform.variant ?? "").toLowerCase() || aliasVariant);
  const { variant: _dropped, ...rest } = platform;
  return { ...rest, os: osAliases[lowerOs] ?? lowerOs, architecture, ...(variant !== undefined && { variant }) };
}

function normalizeVariant(architecture: string, variant: string | undefined): string | undefined {
  if (architecture === "arm64") return variant === "8" || variant === "v8" || variant === "v8.0" ? undefined : variant;
  if (architecture === "amd64") return variant === "v1" ? undefined : variant;
  if (architecture !== "arm") return variant;
  if (variant === undefined) return "v7";
  return /^\d+$/.test(variant) ? `v${variant}` : variant;
}

/**
 * Reads `os`, `arch`, `os/arch` or `os/arch/variant`, with an optional `os(version)`; what is missing is the host's.
 *
 * @throws {BuildError} `invalid_argument`, naming the specifier.
 */
export function parsePlatform(specifier: string, host: Platform = hostPlatform()): Platform {
  const [first = "", architecture, variant, ...rest] = specifier.split("/");
  const os = osPattern.exec(first);
  if (os === null) {
    throw badPart("OS component", {
      specifier,
      part: first,
      rule: `OSAndVersion specifier component must match ${quotedOs}`,
    });
  }
  const bad = [architecture, variant].find((part) => part !== undefined && !wordPattern.test(part));
  if (bad !== undefined) {
    throw badPart("component", {
      specifier,
      part: bad,
      rule: `platform specifier component must match "${wordPattern.source}"`,
    });
  }
  if (rest.length > 0) throw invalid(specifier, "cannot parse platform specifier: invalid argument");
  const fields = osFields(os);
  if (architecture !== undefined) {
    return normalizePlatform({ ...fields, architecture, ...(variant !== undefined && { variant }) });
  }
  if (knownOs.has(fields.os.toLowerCase()) || os[2] !== undefined) {
    const { "os.version": _version, ...machine } = host;
    return normalizePlatform({ ...machine, ...fields });
  }
  const normalized = normalizePlatform({ os: host.os, architecture: first });
  if (knownArchitectures.has(normalized.architecture)) return normalized;
  throw invalid(specifier, "unknown operating system or architecture: invalid argument");
}

function osFields([, os = "", version = "", features = ""]: RegExpExecArray): Omit<Platform, "architecture"> {
  return {
    os,
    ...(version !== "" && { "os.version": version }),
    ...(features !== "" && { "os.features": features.split("+") }),
  };
}

/** `os`, `os(version)` or `os(version)(feature+feature)`. */
const osPattern = /^([A-Za-z0-9_.-]+)(?:\(([A-Za-z0-9_.+-]*)\))?(?:\(([A-Za-z0-9_.+-]*)\))?$/;

const wordPattern = /^[A-Za-z0-9_.-]+$/;
/** How containerd's text spells its own pattern of an operating system. */
const quotedOs = String.raw`"^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.%-]*)((?:\\+[A-Za-z0-9_.%-]+)*)\\))?$"`;

function badPart(
  what: string,
  { specifier, part, rule }: { readonly specifier: string; readonly part: string; readonly rule: string },
): BuildError {
  const [shortPart, short] = [part, specifier].map((text) => text.slice(0, 300));
  return new BuildError(
    "invalid_argument",
    `"${shortPart}" is an invalid ${what} of "${short}": ${rule}: invalid argument`,
  );
}

function invalid(specifier: string, why: string): BuildError {
  return new BuildError("invalid_argument", `"${specifier.slice(0, 300)}": ${why}`);
}

const knownOs = new Set(
  "aix android darwin dragonfly freebsd hurd illumos ios js linux macos nacl netbsd openbsd plan9 solaris windows zos".split(
    " ",
  ),
);
const knownArchitectures = new Set(
  "386 amd64 arm arm64 loong64 mips mipsle mips64 mips64le ppc64 ppc64le riscv64 s390x sparc64 wasm".split(" "),
);

/** `os/arch[/variant]`, the spelling used as an id in result maps. */
export function formatPlatform(platform: Platform): string {
  const p = normalizePlatform(platform);
  return [p.os, p.architecture, ...(p.variant === undefined ? [] : [p.variant])].join("/");
}

/** Like {@linkcode formatPlatform} with the OS version and features, where set: `windows(10.0.17763)/amd64`. */
export function formatPlatformAll(platform: Platform): string {
  const p = normalizePlatform(platform);
  const version = p["os.version"] ?? "";
  const features = (p["os.features"] ?? []).join("+");
  const os =
    p.os + (version !== "" || features !== "" ? `(${version})` : "") + (features === "" ? "" : `(${features})`);
  return [os, p.architecture, ...(p.variant === undefined ? [] : [p.variant])].join("/");
}

/** The platform that this process runs on. */
export function hostPlatform(): Platform {
  const architecture =
    { x64: "amd64", ia32: "386", ppc64: "ppc64le", loong64: "loong64" }[process.arch as string] ?? process.arch;
  return normalizePlatform({ os: process.platform === "win32" ? "windows" : process.platform, architecture });
}

/**
 * How well `candidate` can serve `wanted`: 0 is exact, larger is worse, undefined is not at all.
 *
 * An `arm/v7` machine runs `v6` and `v5`; `arm64` runs 32-bit `arm`; `amd64/v3` runs lower levels.
 */
export function platformDistance(wanted: Platform, candidate: Platform): number | undefined {
  const w = normalizePlatform(wanted);
  const c = normalizePlatform(candidate);
  if (w.os !== c.os) return undefined;
  if (w.os === "windows" && w["os.version"] !== undefined && c["os.version"] !== undefined && osBuild(w) !== osBuild(c))
    return undefined;
  const accepted = acceptedMachines(w);
  const index = accepted.indexOf(`${c.architecture}/${c.variant ?? ""}`);
  return index < 0 ? undefined : index;
}

function osBuild(platform: Platform): string {
  return (platform["os.version"] ?? "").split(".").slice(0, 3).join(".");
}

function acceptedMachines(p: Platform): string[] {
  const level = Number(/^v(\d+)$/.exec(p.variant ?? "")?.[1] ?? (p.architecture === "amd64" ? 1 : 8));
  const down = (arch: string, from: number, to: number): string[] =>
    Array.from({ length: Math.max(0, from - to + 1) }, (_, i) => `${arch}/v${from - i}`);
  if (p.architecture === "arm") return [...down("arm", level, 5)];
  if (p.architecture === "arm64") return [`arm64/${p.variant ?? ""}`, "arm64/", ...down("arm", 8, 5)];
  if (p.architecture === "amd64") return [...down("amd64", level, 2), "amd64/"];
  return [`${p.architecture}/${p.variant ?? ""}`];
}
