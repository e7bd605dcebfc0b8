import { BuildError } from "@buildkit-ts/errdefs";
import type { ExportContext, ExporterInstance, ExportOutput } from "@buildkit-ts/exporters";
import type { Digest } from "@buildkit-ts/oci";
import type { ProgressWriter } from "@buildkit-ts/progress";
import type { CachedResult, Job, OpContext } from "@buildkit-ts/solver";
import { type BridgeRef, type BridgeResult, treesOf } from "../bridge/bridge-ref.ts";
import type { BuildRequest } from "../build-request.ts";
import type { BuildEngine, CacheExporter } from "../engine.ts";
import { exportInput, withInlineCache } from "./export-input.ts";
import { platformWarnings } from "./platform-warnings.ts";

type Response = Readonly<Record<string, string>>;

/** What all exporters together answer, and each of them. */
export interface Exported {
  readonly response: Response;
  readonly outputs: readonly Response[];
}

/** Where one build's result goes: to its exporters, then to its caches. What cannot be exported is refused beforehand. */
export class BuildExports {
  readonly #engine: BuildEngine;
  readonly #job: Job;
  readonly #request: BuildRequest;
  /** In the order of the request: a client tells its exports apart by their index. */
  readonly #exporters: ExporterInstance[] = [];
  readonly #caches: readonly CacheExporter[];

  constructor(options: { readonly engine: BuildEngine; readonly job: Job; readonly request: BuildRequest }) {
    const { engine, job, request } = options;
    this.#engine = engine;
    this.#job = job;
    this.#request = request;
    this.add(request.exporters);
    this.#caches = request.cacheExports.map(({ type, attributes }) => engine.cacheExporter(type, attributes));
  }

  /** @throws {BuildError} `not_found`, for an exporter that the daemon has not; what else is wrong with it. */
  add(wanted: readonly { readonly type: string; readonly attributes: Response }[]): void {
    for (const { type, attributes } of wanted) {
      const exporter = this.#engine.exporters.get(type);
      if (exporter === undefined) throw new BuildError("not_found", `exporter "${type}" could not be found`);
      this.#exporters.push(exporter.resolve(attributes));
    }
  }

  /** Exports everywhere at once; only what all exporters have taken is finished. */
  async run(result: BridgeResult, { signal }: { readonly signal: AbortSignal }): Promise<Exported> {
    const outputs = await this.#export(result, signal);
    const [, cacheResponses] = await Promise.all([
      Promise.all(outputs.map(async ({ finalize }) => await finalize())),
      this.#exportCaches(result, signal),
    ]);
    const frontendMetadata = [...result.metadata].filter(([key]) => key.startsWith("frontend."));
    const response = Object.assign(
      Object.fromEntries(frontendMetadata.map(([key, value]) => [key, Buffer.from(value).toString("utf8")])),
      ...outputs.map(({ output }) => output.response),
      ...cacheResponses,
    ) as Response;
    return { response, outputs: outputs.map(({ output }) => output.response) };
  }

  async #export(
    result: BridgeResult,
    signal: AbortSignal,
  ): Promise<{ readonly output: ExportOutput; readonly finalize: () => Promise<void> }[]> {
    const inline = this.#caches.findLast((exporter) => exporter.inline !== undefined);
    const input = await exportInput(result, signal);
    const warnings = platformWarnings(result, this.#request.message.FrontendAttrs);
    if (this.#exporters.length === 0 && warnings.length > 0) {
      await this.#job.inVertex("Verifying build result", async ({ progress }) => warnAll(progress, warnings), {
        signal,
      });
    }
    return await Promise.all(
      this.#exporters.map(async (exporter, index) => {
        const digest = `${this.#request.ref}-export-${index}`;
        return await this.#job.inVertex(
          exporter.name,
          async (context) => {
            if (index === 0) warnAll(context.progress, warnings);
            const exportContext = this.#exportContext(context, index);
            const withCache = inline === undefined ? input : withInlineCache(input, { result, inline, context });
            const output = await exporter.export(withCache, exportContext);
            return { output, finalize: async () => await output.finalize?.(exportContext) };
          },
          { signal, digest: digest as Digest },
        );
      }),
    );
  }

  #exportContext(context: OpContext, index: number): ExportContext {
    const request = this.#request;
    const platform = this.#engine.worker.platforms()[0];
    if (platform === undefined) throw new BuildError("internal", "Cannot export: the worker has no platform");
    return {
      signal: context.signal,
      progress: context.progress,
      session: request.session,
      exporterIndex: index,
      compatibilityVersion: request.compatibilityVersion,
      platform,
      owner: blobOwner(request.ref),
      sessions: () => context.sessions(),
    };
  }

  async #exportCaches(result: BridgeResult, signal: AbortSignal): Promise<Response[]> {
    const exporters = this.#caches.filter((exporter) => exporter.inline === undefined);
    if (exporters.length === 0) return [];
    const results = await Promise.all(treesOf(result).map(async (ref: BridgeRef) => await ref.result({ signal })));
    const present = results.filter((cached): cached is CachedResult => cached !== undefined);
    const job = this.#job;
    const { session } = this.#request;
    return await Promise.all(
      exporters.map(async (exporter) => {
        try {
          return await job.inVertex(
            exporter.name,
            async (context) => await exporter.export(present, { ...context, job, session }),
            { signal },
          );
        } catch (error) {
          if (!exporter.ignoreError || signal.aborted) throw error;
          return {};
        }
      }),
    );
  }
}

/** Holds what a build exports and no record of the cache has. */
export function blobOwner(ref: string): string {
  return `build-${ref}`;
}

function warnAll(progress: ProgressWriter, warnings: readonly string[]): void {
  for (const short of warnings) progress.warn({ level: 0, short, detail: [], url: "", ranges: [] });
}
