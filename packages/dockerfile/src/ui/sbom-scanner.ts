import { join } from "node:path/posix";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Definition, image, type MountOptions, mkdir, type State, scratch } from "@buildkit-ts/llb";
import type { Platform } from "@buildkit-ts/oci";
import { type Attestation, attestationKeys, predicateTypes } from "@buildkit-ts/provenance";
import type { ResolvedImage } from "../frontend-client.ts";
import type { SbomRequest } from "./attestation-requests.ts";

const sourceDirectory = "/run/src";
const outputDirectory = "/run/out/";
/** Base name of what a scanner writes about the result itself. */
const coreName = "sbom";

/** What one platform's scan looks at. */
export interface ScanTarget {
  /** Platform id, for the step's name. */
  readonly name: string;
  readonly core: State;
  /** Further trees by name, such as stages and the build context. */
  readonly extras: ReadonlyMap<string, State>;
  readonly ignoreCache: boolean;
}

/** An image that lists what is in a tree (BuildKit's SBOM scanning protocol). It is run as a step of the build. */
export class SbomScanner {
  readonly #reference: string;
  readonly #platform: Platform;
  readonly #settings: ScannerSettings;
  readonly #parameters: SbomRequest["parameters"];

  private constructor(
    reference: string,
    options: {
      readonly platform: Platform;
      readonly settings: ScannerSettings;
      readonly parameters: SbomRequest["parameters"];
    },
  ) {
    this.#reference = reference;
    this.#platform = options.platform;
    this.#settings = options.settings;
    this.#parameters = options.parameters;
  }

  /** @throws {BuildError} `invalid_argument`, for an image that has no command. */
  static async find(
    request: SbomRequest,
    options: {
      readonly platform: Platform;
      readonly resolve: (reference: string, platform: Platform) => Promise<ResolvedImage>;
    },
  ): Promise<SbomScanner> {
    const { platform } = options;
    const { ref, config } = await options.resolve(request.generator, platform);
    const settings = readSettings(ref, config);
    return new SbomScanner(ref, { platform, settings, parameters: request.parameters });
  }

  /** The graph of a scan. Its result is the directory that the scanner wrote to. */
  scan(target: ScanTarget): Definition {
    const { args, env, workingDirectory } = this.#settings;
    const base = image(this.#reference, { platform: this.#platform });
    const variables = [...env, ...this.#variables(target)];
    const start = variables.reduce((state, [key, value]) => state.addEnv(key, value), base.dir(workingDirectory));
    const extras = [...target.extras].map(([name, source]) => ({
      target: join(sourceDirectory, "extras", `${coreName}-${name}`),
      source,
      readonly: true,
    }));
    const done = start.run({
      args,
      customName: `[${target.name}] generating sbom using ${this.#reference}`,
      ...(target.ignoreCache && { ignoreCache: true }),
      mounts: [
        this.#temporaryMount(base),
        { target: join(sourceDirectory, "core", coreName), source: target.core, readonly: true },
        ...extras,
        { target: outputDirectory, source: scratch() },
      ],
    });
    const output = done.mount(outputDirectory);
    if (output === undefined) throw new BuildError("internal", "Cannot scan: the step has no output");
    return output.marshal({ platform: this.#platform });
  }

  #variables({ extras }: ScanTarget): (readonly [string, string])[] {
    return [
      ["BUILDKIT_SCAN_DESTINATION", outputDirectory],
      ["BUILDKIT_SCAN_SOURCE", join(sourceDirectory, "core", coreName)],
      ...(extras.size > 0 ? [["BUILDKIT_SCAN_SOURCE_EXTRAS", join(sourceDirectory, "extras/")] as const] : []),
      ...Object.entries(this.#parameters).map(([key, value]) => [`BUILDKIT_SCAN_${key}`, value] as const),
    ];
  }

  /** Windows has no tmpfs: there it is a directory of the image. */
  #temporaryMount(base: State): MountOptions {
    const target = "/tmp";
    if (this.#platform.os !== "windows") return { target, tmpfs: {} };
    return {
      target,
      source: base.file(mkdir(target, 0o777, { makeParents: true })),
      selector: target,
      noOutput: true,
    };
  }
}

/** What a scan wrote, as statements about the result: all are SPDX documents. */
export function sbomAttestation<R>(ref: R | undefined): Attestation<R> {
  return {
    kind: "bundle",
    ref,
    path: "",
    metadata: new Map([
      [attestationKeys.reason, Buffer.from("sbom")],
      [attestationKeys.sbomCore, Buffer.from(coreName)],
    ]),
    predicateType: predicateTypes.spdx,
    subjects: [],
  };
}

interface ScannerSettings {
  readonly args: readonly string[];
  readonly env: readonly (readonly [string, string])[];
  readonly workingDirectory: string;
}

function readSettings(reference: string, bytes: Uint8Array): ScannerSettings {
  const config = parseConfig(reference, bytes);
  const texts = (key: string): string[] => (Array.isArray(config[key]) ? config[key].map(String) : []);
  const args = [...texts("Entrypoint"), ...texts("Cmd")];
  if (args.length === 0) throw new BuildError("invalid_argument", `scanner ${reference} does not have cmd`);
  const directory = config["WorkingDir"];
  return {
    args,
    env: texts("Env").map((entry) => {
      const at = entry.indexOf("=");
      return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
    }),
    workingDirectory: typeof directory === "string" && directory !== "" ? directory : "/",
  };
}

function parseConfig(reference: string, bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const { config } = JSON.parse(Buffer.from(bytes).toString("utf8")) as { readonly config?: unknown };
    return typeof config === "object" && config !== null ? { ...config } : {};
  } catch (cause) {
    throw new BuildError("invalid_argument", `Cannot read config of scanner "${reference}": not JSON`, { cause });
  }
}
