import { fromBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { BuildError, type Code, NotAnImageError } from "@buildkit-ts/errdefs";
import type { Definition } from "@buildkit-ts/llb";
import { digestOf } from "@buildkit-ts/oci";
import type {
  FrontendClient,
  FrontendDirectoryEntry,
  FrontendRef,
  FrontendResult,
  FrontendWarning,
  ResolvedImage,
  ResolvedSource,
} from "../frontend-client.ts";

/** What a {@linkcode MemoryFrontendClient} serves. */
export interface MemoryWorld {
  readonly options: Readonly<Record<string, string>>;
  /** Files by local name and path. */
  readonly locals: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Image configs by qualified reference. */
  readonly images: Readonly<Record<string, string>>;
  readonly capabilities: ReadonlySet<string>;
  /** What a policy puts in the place of images: identifiers by qualified reference. */
  readonly converted?: Readonly<Record<string, string>>;
  /** Metadata of sources by identifier. */
  readonly sources?: Readonly<Record<string, ResolvedSource>>;
  /** How solves with another frontend fail; `unavailable` by default. */
  readonly gatewayCode?: Code;
}

/** A frontend client without a daemon: it records what is asked, and reads files of locals from memory. */
export class MemoryFrontendClient implements FrontendClient {
  readonly options: Readonly<Record<string, string>>;
  readonly sessionId = "session";
  readonly workerPlatforms: FrontendClient["workerPlatforms"] = [{ os: "linux", architecture: "amd64" }];
  readonly llbCapabilities: ReadonlySet<string>;
  readonly solves: Parameters<FrontendClient["solve"]>[0][] = [];
  readonly resolves: (Parameters<FrontendClient["resolveImage"]>[1] & { readonly reference: string })[] = [];
  readonly warnings: FrontendWarning[] = [];
  readonly #world: MemoryWorld;

  constructor(world: MemoryWorld) {
    this.#world = world;
    this.options = world.options;
    this.llbCapabilities = world.capabilities;
  }

  inputs(): Promise<ReadonlyMap<string, Definition>> {
    return Promise.resolve(new Map());
  }

  solve(request: Parameters<FrontendClient["solve"]>[0]): Promise<FrontendResult> {
    this.solves.push(request);
    if (request.frontend !== undefined)
      return Promise.reject(new BuildError(this.#world.gatewayCode ?? "unavailable", "gateway.v0 is not here"));
    const files = this.#world.locals[localName(request.definition)] ?? {};
    return Promise.resolve({ ref: new MemoryRef(files), refs: new Map(), metadata: new Map() });
  }

  resolveImage(reference: string, request: Parameters<FrontendClient["resolveImage"]>[1]): Promise<ResolvedImage> {
    this.resolves.push({ ...request, reference });
    const converted = this.#world.converted?.[reference];
    if (converted !== undefined) return Promise.reject(new NotAnImageError(reference, converted));
    const config = this.#world.images[reference];
    if (config === undefined) return Promise.reject(new BuildError("not_found", `${reference}: not found`));
    return Promise.resolve({ ref: reference, digest: digestOf(config), config: new TextEncoder().encode(config) });
  }

  resolveSource(source: Parameters<FrontendClient["resolveSource"]>[0]): Promise<ResolvedSource> {
    return Promise.resolve(this.#world.sources?.[source.identifier] ?? {});
  }

  warn(_vertex: string, warning: FrontendWarning): Promise<void> {
    this.warnings.push(warning);
    return Promise.resolve();
  }
}

class MemoryRef implements FrontendRef {
  readonly #files: Readonly<Record<string, string>>;

  constructor(files: Readonly<Record<string, string>>) {
    this.#files = files;
  }

  readFile(path: string): Promise<Uint8Array> {
    const text = this.#files[path];
    return text === undefined
      ? Promise.reject(new BuildError("not_found", `open ${path}: no such file or directory`))
      : Promise.resolve(new TextEncoder().encode(text));
  }

  readDirectory(): Promise<readonly FrontendDirectoryEntry[]> {
    const entries = Object.keys(this.#files).map((path) => ({ path, mode: 0o644, modTime: 0n }));
    return Promise.resolve(entries);
  }

  evaluate(): Promise<void> {
    return Promise.resolve();
  }
}

function localName(definition: Definition | undefined): string {
  const sources = (definition?.def ?? []).map((bytes) => fromBinary(opspb.OpSchema, bytes).op);
  const last = sources.findLast((op) => op.case === "source");
  return last?.case === "source" ? last.value.identifier.replace(/^local:\/\//, "") : "";
}
