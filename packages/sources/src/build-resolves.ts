import { SingleFlight } from "@buildkit-ts/async";
import type { SourceContext } from "./source.ts";

/** The name under which builds hold their {@linkcode BuildResolves}. */
export const buildResolvesKey = "sources.resolves";

/**
 * What mutable names stood for in one build: a branch or a file that changes while the build runs is the same for all
 * of it, and a policy sees the very thing that is built. Disposed with the build.
 */
export class BuildResolves implements AsyncDisposable {
  readonly #flights = new SingleFlight<string, unknown>();
  readonly #known = new Map<string, unknown>();
  readonly #kept = new AsyncDisposableStack();

  has(key: string): boolean {
    return this.#known.has(key);
  }

  get(key: string): unknown {
    return this.#known.get(key);
  }

  set(key: string, value: unknown): void {
    this.#known.set(key, value);
  }

  async run(
    key: string,
    work: (signal: AbortSignal) => Promise<unknown>,
    options: { readonly signal: AbortSignal },
  ): Promise<unknown> {
    return await this.#flights.run(key, work, options);
  }

  /** Keeps something until the build ends, such as a file that was fetched to be looked at first. */
  keep(resource: AsyncDisposable): void {
    this.#kept.use(resource);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kept.disposeAsync();
  }
}

/** The builds that wait for a source, as far as they keep what they resolve. */
export function waitingBuilds(context: SourceContext): BuildResolves[] {
  return context.values(buildResolvesKey).filter((value) => value instanceof BuildResolves);
}

/** The result of the work, done once in a build for each key; builds that share a step share what it resolved. */
export async function resolveOnce<T>(
  key: string,
  context: SourceContext,
  work: (context: SourceContext) => Promise<T>,
): Promise<T> {
  const builds = waitingBuilds(context);
  const known = builds.find((build) => build.has(key));
  const [first] = builds;
  if (first === undefined) return await work(context);
  const run = async (signal: AbortSignal): Promise<T> =>
    await work({
      signal,
      progress: context.progress,
      sessions: () => context.sessions(),
      values: (name) => context.values(name),
    });
  const value = known === undefined ? await first.run(key, run, context) : known.get(key);
  for (const build of builds) if (!build.has(key)) build.set(key, value);
  return value as T;
}
