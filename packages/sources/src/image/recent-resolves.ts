import { type Clock, SingleFlight, systemClock } from "@buildkit-ts/async";
import { formatPlatformAll, formatReference } from "@buildkit-ts/oci";
import type { SourceContext } from "../source.ts";
import type { ImageResolver, ResolvedImage, ResolveRequest } from "./image-resolver.ts";

const keepMs = 60_000;
const maxEntries = 1000;

/**
 * Resolves each image once for a session and minute: a frontend asks for it, then the build.
 *
 * Never shared between sessions: one may not be allowed what another is, and a tag that was pushed between two builds
 * must be seen.
 */
export class RecentResolves {
  readonly #resolver: ImageResolver;
  readonly #clock: Clock;
  readonly #flights = new SingleFlight<string, ResolvedImage>();
  readonly #recent = new Map<string, { readonly image: ResolvedImage; readonly until: number }>();

  constructor(resolver: ImageResolver, options: { readonly clock?: Clock } = {}) {
    this.#resolver = resolver;
    this.#clock = options.clock ?? systemClock;
  }

  async resolve(request: ResolveRequest, context: SourceContext): Promise<ResolvedImage> {
    const { reference, platform, mode } = request;
    const session = context.sessions()[0] ?? "";
    const key = `${session} ${mode} ${formatPlatformAll(platform)} ${formatReference(reference)}`;
    const now = this.#clock.now();
    const recent = this.#recent.get(key);
    if (recent !== undefined && recent.until > now) return recent.image;
    const { progress } = context;
    const sessions = (): readonly string[] => context.sessions();
    const image = await this.#flights.run(
      key,
      async (signal) => await this.#resolver.resolve(request, { signal, progress, sessions }),
      { signal: context.signal },
    );
    this.#remember(key, image);
    return image;
  }

  #remember(key: string, image: ResolvedImage): void {
    const now = this.#clock.now();
    this.#recent.delete(key);
    this.#recent.set(key, { image, until: now + keepMs });
    for (const [other, { until }] of this.#recent) {
      if (until > now && this.#recent.size <= maxEntries) return;
      this.#recent.delete(other);
    }
  }
}
