import type { opspb } from "@buildkit-ts/api";
import { formatPlatformAll } from "@buildkit-ts/oci";
import type { ImageMaterial } from "@buildkit-ts/provenance";
import { type BridgeRef, type BridgeResult, refsOf } from "../bridge/bridge-ref.ts";

/** What was asked of a frontend. */
export interface TracedRequest {
  readonly frontend: string;
  readonly options: Readonly<Record<string, string>>;
  readonly inputs: Readonly<Record<string, opspb.Definition>>;
}

/**
 * What one request to a frontend led to: the results that it solved, the images that it asked about, and the requests to
 * other frontends. The trace of a build as a whole has no request of its own: its client may solve by itself.
 */
export class RequestTrace {
  readonly request: TracedRequest | undefined;
  /** What the client asked for in the first place. */
  readonly root: TracedRequest | undefined;
  /** By name and platform: a frontend may ask as often as it likes. */
  readonly #images = new Map<string, ImageMaterial>();
  readonly #refs = new Set<BridgeRef>();
  readonly #children: RequestTrace[] = [];
  /** Of all traces of a build: which one solved a ref. */
  readonly #owners: Map<BridgeRef, RequestTrace>;

  constructor(request: TracedRequest | undefined, root: TracedRequest | undefined, parent?: RequestTrace) {
    this.request = request;
    this.root = root === undefined || isEmpty(root) ? undefined : root;
    this.#owners = parent === undefined ? new Map() : parent.#owners;
  }

  child(request: TracedRequest): RequestTrace {
    const child = new RequestTrace(request, this.root ?? this.request, this);
    this.#children.push(child);
    return child;
  }

  addResult(result: BridgeResult): void {
    for (const ref of refsOf(result)) {
      this.#refs.add(ref);
      // Who solves comes before who passes on.
      if (!this.#owners.has(ref)) this.#owners.set(ref, this);
    }
  }

  addImage(image: ImageMaterial): void {
    const { ref, platform, local } = image;
    const key = `${local} ${platform === undefined ? "" : formatPlatformAll(platform)} ${ref}`;
    if (!this.#images.has(key)) this.#images.set(key, image);
  }

  /** The trace of the request that a ref was solved for, the innermost one. */
  find(ref: BridgeRef): RequestTrace | undefined {
    return this.#owners.get(ref);
  }

  /** All refs that were solved for the request, also on behalf of others that it led to. */
  *refs(): Generator<BridgeRef, void> {
    yield* this.#refs;
    for (const child of this.#children) yield* child.refs();
  }

  /** All images that were asked about. */
  *images(): Generator<ImageMaterial, void> {
    yield* this.#images.values();
    for (const child of this.#children) yield* child.images();
  }
}

function isEmpty({ frontend, options, inputs }: TracedRequest): boolean {
  return frontend === "" && Object.keys(options).length === 0 && Object.keys(inputs).length === 0;
}
