import type { Digest, Platform } from "@buildkit-ts/oci";

/** An image that a build was made from. */
export interface ImageMaterial {
  readonly ref: string;
  readonly platform: Platform | undefined;
  readonly digest: Digest | undefined;
  /** It came from a client's OCI layout, not from a registry. */
  readonly local: boolean;
}

/** A single blob of a registry or of a client's OCI layout. */
export interface BlobMaterial {
  readonly ref: string;
  readonly digest: Digest;
  readonly local: boolean;
}

export interface GitMaterial {
  /** With `#ref`, without credentials. */
  readonly url: string;
  readonly commit: string;
  /** Locator of the bundle that stood in for the remote. */
  readonly bundle?: string;
}

export interface HttpMaterial {
  readonly url: string;
  readonly digest: Digest;
}

/** A request of a step's that may have brought something in, by what its proxy told of it. */
export interface IncompleteProxyRequest {
  /** The step's digest. */
  readonly op: string;
  /** Its command. */
  readonly name: string;
  readonly method: string;
  readonly uri: string;
  readonly reason: string;
}

/** Everything that came in from outside, by kind. */
export interface Materials {
  readonly images: readonly ImageMaterial[];
  readonly blobs: readonly BlobMaterial[];
  readonly git: readonly GitMaterial[];
  readonly http: readonly HttpMaterial[];
  /** Names of directories of the client: nothing says what was in them. */
  readonly locals: readonly string[];
}

/** A secret or an SSH agent that a step may have used. Only its id is known here, never a value. */
export interface Use {
  readonly id: string;
  readonly optional: boolean;
}
