import type { LocalCacheManager } from "@buildkit-ts/cache";
import type { ContentStore } from "@buildkit-ts/content";
import { userAgent } from "@buildkit-ts/control";
import type { RegistryClient } from "@buildkit-ts/registry";
import type { SessionManager } from "@buildkit-ts/session";
import {
  BlobOrigin,
  BlobSource,
  GitSource,
  HttpSource,
  ImageSource,
  LayoutSource,
  LocalSource,
  RegistryOrigin,
  type Source,
} from "@buildkit-ts/sources";

/** All that builds can begin with; what has to be closed goes with the resources. */
export function openSources(parts: {
  readonly cache: LocalCacheManager;
  readonly content: ContentStore;
  readonly registry: RegistryClient;
  readonly sessions: SessionManager;
  readonly resources: AsyncDisposableStack;
}): readonly Source[] {
  const { cache, content, registry, sessions, resources } = parts;
  const blobs = new BlobOrigin({ registry, sessions });
  return [
    new ImageSource({ cache, content, origin: new RegistryOrigin({ registry, sessions }) }),
    new LayoutSource({ cache, content, sessions }),
    new LocalSource({ cache, sessions }),
    new GitSource({ cache, sessions, blobs }),
    resources.use(new HttpSource({ cache, sessions, userAgent })),
    new BlobSource({ cache, blobs }),
  ];
}
