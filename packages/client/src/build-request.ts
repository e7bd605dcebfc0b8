import type { StatusResponse } from "@buildkit-ts/api/buildkit/control";
import type { Definition } from "@buildkit-ts/api/buildkit/ops";
import type { Policy } from "@buildkit-ts/api/buildkit/policy";
import type { Attachable, OutputTarget } from "@buildkit-ts/session/serving";

/** One output of a build. */
export interface BuildExport {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Where a file, a directory or the blobs of an OCI layout go; for outputs that come to the client. */
  readonly target?: OutputTarget | { readonly kind: "store"; readonly path: string };
}

/** A cache to read or to write. */
export interface CacheEntry {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What to build. */
export interface BuildRequest {
  /** Name of the build; default random. */
  readonly ref?: string;
  /** A frontend, or a definition. */
  readonly frontend?: string;
  readonly definition?: Definition;
  /** Options of the frontend. */
  readonly attributes?: Readonly<Record<string, string>>;
  readonly inputs?: Readonly<Record<string, Definition>>;
  readonly exports?: readonly BuildExport[];
  readonly cacheExports?: readonly CacheEntry[];
  readonly cacheImports?: readonly CacheEntry[];
  /** Directories that the build may read, by name. */
  readonly directories?: Readonly<Record<string, string>>;
  /** OCI layouts that the build may read, by id. */
  readonly ociLayouts?: Readonly<Record<string, string>>;
  /** Secrets, credentials and what else the client serves. */
  readonly attachables?: readonly Attachable[];
  readonly entitlements?: readonly string[];
  readonly sourcePolicy?: Policy;
  readonly proxyNetwork?: boolean;
  /** Leaves no trace in the history. */
  readonly internal?: boolean;
  /** Names the client's directories over several builds. */
  readonly sharedKey?: string;
  /** Told what goes on. */
  readonly onStatus?: (status: StatusResponse) => void;
}

/** What a build gives back. */
export interface BuildResponse {
  readonly ref: string;
  /** What exporters say, such as `containerimage.digest`. */
  readonly exporterResponse: Readonly<Record<string, string>>;
  /** Metadata of the frontend's result, such as those of a sub-request. */
  readonly metadata: Readonly<Record<string, Uint8Array>>;
}
