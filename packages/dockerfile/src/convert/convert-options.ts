import type { LinuxResources, SourceMap, State } from "@buildkit-ts/llb";
import type { Digest, Platform } from "@buildkit-ts/oci";
import type { LintOptions } from "../lint/lint-options.ts";
import type { WarningSink } from "../lint/linter.ts";
import type { ImageDraft } from "./image-draft.ts";

/** An image as a registry knows it. */
export interface BaseImage {
  readonly ref: string;
  readonly digest: Digest | undefined;
  readonly config: Uint8Array;
}

/** A context that the client gave a name, loaded only if a stage needs it. */
export interface NamedContext {
  load(options: { readonly signal: AbortSignal }): Promise<{ state: State; image: ImageDraft | undefined }>;
}

/** How a named context is asked for. */
export interface NamedContextRequest {
  readonly platform: Platform | undefined;
  /** Paths that stages have used so far, asked at the end; undefined means all. */
  readonly followPaths: () => readonly string[] | undefined;
}

/** What the conversion asks of the outside world. */
export interface ConvertWorld {
  resolveImage(
    reference: string,
    request: { readonly platform: Platform; readonly resolveMode: string; readonly logName: string },
    options: { readonly signal: AbortSignal },
  ): Promise<BaseImage>;
  /** Undefined if the client named no such context. @throws {BuildError} for a malformed name. */
  namedContext?(name: string, request: NamedContextRequest): NamedContext | undefined;
  /** The build context when it is no directory of the client, else undefined. */
  remoteContext?(options: { readonly signal: AbortSignal }): Promise<State | undefined>;
  /** The client's directory; `followPaths` undefined means all of it. */
  localContext?(followPaths: readonly string[] | undefined, excludes: readonly string[]): State;
  /** Patterns of the ignore file. */
  ignorePatterns?(options: { readonly signal: AbortSignal }): Promise<readonly string[]>;
  /** Time of a SOURCE_DATE_EPOCH that is no number, in seconds: of the context, or of a source a stage consists of. */
  sourceEpoch?(
    request: { readonly state: State; readonly logName: string },
    options: { readonly signal: AbortSignal },
  ): Promise<bigint | undefined>;
  /** Whether the daemon has a capability. */
  supports(capability: string): boolean;
}

/** Settings of a conversion. */
export interface ConvertSettings {
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly target: string;
  /** Undefined means the build platform, or what the base image says. */
  readonly targetPlatform: Platform | undefined;
  /** The default first. */
  readonly buildPlatforms: readonly Platform[];
  /** Whether step names carry their platform. */
  readonly multiPlatform: boolean;
  readonly resolveMode: "default" | "pull" | "local";
  readonly network: "sandbox" | "host" | "none";
  readonly cacheNamespace: string;
  readonly extraHosts: readonly { readonly host: string; readonly ip: string }[];
  readonly shmSizeBytes: bigint;
  readonly ulimits: readonly { readonly name: string; readonly soft: bigint; readonly hard: bigint }[];
  readonly cgroupParent: string;
  readonly hostname: string;
  readonly linuxResources: LinuxResources | undefined;
  /** Whether the cache is ignored for a stage. */
  readonly isNoCache: (stage: string) => boolean;
  /** Undefined means `# check=` of the file. */
  readonly lint: LintOptions | undefined;
  readonly sourceMap: SourceMap | undefined;
  readonly warn: WarningSink | undefined;
  /** Whether stages that the target does not need are converted too. */
  readonly allStages: boolean;
}

/** Settings that a plain build has. */
export const defaultSettings: Omit<ConvertSettings, "buildPlatforms"> = {
  buildArgs: {},
  labels: {},
  target: "",
  targetPlatform: undefined,
  multiPlatform: false,
  resolveMode: "default",
  network: "sandbox",
  cacheNamespace: "",
  extraHosts: [],
  shmSizeBytes: 0n,
  ulimits: [],
  cgroupParent: "",
  hostname: "",
  linuxResources: undefined,
  isNoCache: () => false,
  lint: undefined,
  sourceMap: undefined,
  warn: undefined,
  allStages: false,
};
