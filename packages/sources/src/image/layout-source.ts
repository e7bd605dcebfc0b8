import type { CacheManager } from "@buildkit-ts/cache";
import type { ContentStore } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { SessionManager } from "@buildkit-ts/session";
import type { Source, SourceContext, SourceInstance, SourceRequest } from "../source.ts";
import type { ImageMetadata, MetadataRequest } from "../source-metadata.ts";
import { ImageSource } from "./image-source.ts";
import { LayoutOrigin } from "./layout-origin.ts";

const scheme = "oci-layout";

/** What {@linkcode LayoutSource} works with. */
export interface LayoutSourceOptions {
  readonly cache: CacheManager;
  readonly content: ContentStore;
  readonly sessions: SessionManager;
}

/** Images of OCI layouts that clients offer (`oci-layout://name@digest`, with `oci.store` and `oci.session`). */
export class LayoutSource implements Source {
  readonly schemes: readonly string[] = [scheme];
  readonly #options: LayoutSourceOptions;

  constructor(options: LayoutSourceOptions) {
    this.#options = options;
  }

  resolve(request: SourceRequest): SourceInstance {
    return this.#images(request.attributes).resolve(request);
  }

  /** Like {@linkcode ImageSource.resolveMetadata}; the attributes say which layout. */
  async resolveMetadata(
    request: SourceRequest,
    wanted: MetadataRequest,
    context: SourceContext,
  ): Promise<ImageMetadata> {
    return await this.#images(request.attributes).resolveMetadata(request, wanted, context);
  }

  #images(attributes: Readonly<Record<string, string>>): ImageSource {
    const store = attributes["oci.store"] ?? "";
    if (store === "") throw new BuildError("invalid_argument", "oci-layout source has no store");
    const { cache, content, sessions } = this.#options;
    const session = attributes["oci.session"] ?? "";
    const name = { store, session: session === "" ? undefined : session };
    return new ImageSource({ cache, content, origin: new LayoutOrigin({ sessions, name }), scheme });
  }
}
