import type { opspb } from "@buildkit-ts/api";
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
  readonly #images: ImageMaterial[] = [];
  readonly #results: BridgeResult[] = [];
  readonly #children: RequestTrace[] = [];

  constructor(request: TracedRequest | undefined, root: TracedRequest | undefined) {
    this.request = request;
    this.root = root === undefined || isEmpty(root) ? undefined : root;
  }

  child(request: TracedRequest): RequestTrace {
    const child = new RequestTrace(request, this.root ?? this.request);
    this.#children.push(child);
    return child;
  }

  addResult(result: BridgeResult): void {
    this.#results.push(result);
  }

  addImage(image: ImageMaterial): void {
    this.#images.push(image);
  }

  /** The trace of the request that a ref was solved for, the innermost one. */
  find(ref: BridgeRef): RequestTrace | undefined {
    for (const child of this.#children) {
      const found = child.find(ref);
      if (found !== undefined) return found;
    }
    return this.#results.some((result) => refsOf(result).includes(ref)) ? this : undefined;
  }

  /** All refs that were solved for the request, also on behalf of others that it led to. */
  *refs(): Generator<BridgeRef, void> {
    for (const result of this.#results) yield* refsOf(result);
    for (const child of this.#children) yield* child.refs();
  }

  /** All images that were asked about. */
  *images(): Generator<ImageMaterial, void> {
    yield* this.#images;
    for (const child of this.#children) yield* child.images();
  }
}

function isEmpty({ frontend, options, inputs }: TracedRequest): boolean {
  return frontend === "" && Object.keys(options).length === 0 && Object.keys(inputs).length === 0;
}
