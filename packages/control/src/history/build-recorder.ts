import { create } from "@bufbuild/protobuf";
import { controlpb } from "@buildkit-ts/api";
import type { Descriptor } from "@buildkit-ts/oci";
import { redactCredentialsIn } from "@buildkit-ts/provenance";
import type { CallTrace } from "@buildkit-ts/session";
import type { Explanation, Job } from "@buildkit-ts/solver";
import { buildTraceKey } from "@buildkit-ts/worker";
import type { BuildRequest } from "../build-request.ts";
import { statusStream } from "../status-stream.ts";
import { BuildTrace } from "../trace/build-trace.ts";
import type { TraceArchive } from "../trace/trace-archive.ts";
import type { TraceContext } from "../trace/trace-context.ts";
import { timestampOf } from "../wire/timestamps.ts";
import type { BuildHistory } from "./build-history.ts";
import { recordedAttributes } from "./recorded-attributes.ts";
import type { RecordedDocument } from "./recorded-document.ts";
import { packLog, StatusLog } from "./status-log.ts";

type Outcome = (
  | {
      readonly response: Readonly<Record<string, string>>;
      /** By exporter, in the order of the request. */
      readonly outputs: readonly Readonly<Record<string, string>>[];
    }
  | { readonly error: unknown }
) & {
  /** How the result came to be; asked once, and not for internal builds. */
  readonly documents?: () => Promise<readonly RecordedDocument[]>;
};

/** Writes one build's history record, from its start to its end. Internal builds leave none. */
export class BuildRecorder implements Disposable {
  readonly #history: BuildHistory;
  readonly #record: controlpb.BuildHistoryRecord;
  readonly #internal: boolean;
  readonly #log = new StatusLog();
  readonly #vertices = new Map<string, controlpb.Vertex>();
  readonly #done: Promise<void>;
  readonly #job: Job;
  readonly #explanations = new Map<string, Explanation>();
  readonly #traces: TraceArchive;
  readonly #trace: BuildTrace;
  /** Spans that clients send while the build runs are there when it ends. */
  readonly #heldTrace: Disposable;
  #warnings = 0;
  #isFinished = false;

  constructor(options: {
    readonly job: Job;
    readonly request: BuildRequest;
    readonly history: BuildHistory;
    readonly traces: TraceArchive;
    readonly context: TraceContext;
  }) {
    const { job, request, history } = options;
    const startedAtMs = Date.now();
    this.#job = job;
    this.#traces = options.traces;
    this.#trace = new BuildTrace(options.context, { ref: request.ref, startedAtMs });
    this.#heldTrace = options.traces.store.hold(this.#trace.traceId);
    job.setValue(buildTraceKey, this.#trace);
    this.#history = history;
    this.#internal = request.internal;
    this.#record = create(controlpb.BuildHistoryRecordSchema, {
      Ref: request.ref,
      Frontend: request.message.Frontend,
      FrontendAttrs: recordedAttributes(redactValues(request.message.FrontendAttrs)),
      Exporters: request.exporters.map(({ type, attributes }) => ({ Type: type, Attrs: redactValues(attributes) })),
      CreatedAt: timestampOf(startedAtMs),
      Generation: 1,
    });
    if (!this.#internal) history.start(this.#record);
    this.#done = this.#internal ? Promise.resolve() : this.#collect();
    this.#done.catch(() => undefined);
  }

  async #collect(): Promise<void> {
    // Ends with the job, which its owner disposes of: there is nothing to abort by.
    const onExplanation = (explanation: Explanation): void =>
      void this.#explanations.set(explanation.vertex, explanation);
    for await (const response of statusStream(this.#job, { signal: new AbortController().signal, onExplanation })) {
      this.#log.add(response);
      this.#warnings += response.warnings.length;
      for (const vertex of response.vertexes) {
        this.#vertices.set(vertex.digest, vertex);
        this.#trace.addVertex(vertex);
      }
    }
  }

  /** What calls are to say that the build makes. */
  get call(): CallTrace {
    return this.#trace.call;
  }

  /**
   * Ends the job's progress and stores the record, once: it is on the disk before the client hears of the build's end.
   */
  async finish(outcome: Outcome): Promise<void> {
    if (this.#internal || this.#isFinished) return;
    this.#isFinished = true;
    await this.#job[Symbol.asyncDispose]();
    await this.#done;
    const record = this.#record;
    const vertices = [...this.#vertices.values()];
    record.CompletedAt = timestampOf(Date.now());
    record.numTotalSteps = vertices.length;
    record.numCachedSteps = vertices.filter((vertex) => vertex.cached).length;
    record.numCompletedSteps = vertices.filter((vertex) => vertex.completed !== undefined).length;
    record.numWarnings = this.#warnings;
    if ("response" in outcome) {
      record.ExporterResponse = { ...outcome.response };
      record.Result = resultInfo(outcome.outputs);
    } else await this.#history.addError(record, outcome.error);
    const { documents } = outcome;
    const made = documents === undefined ? [] : await this.#history.createDocuments(documents);
    await this.#history.addExplanations(record, [...this.#explanations.values()]);
    this.#history.complete(record, await packLog(this.#log.bytes()), made);
    this.#traces.keep(record.Ref, this.#trace, "error" in outcome ? { error: outcome.error } : {});
  }

  /** To be called when the build has ended, however it did: the trace of one that left a record goes when it is stored. */
  [Symbol.dispose](): void {
    this.#heldTrace[Symbol.dispose]();
  }
}

function redactValues(attributes: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, redactCredentialsIn(value)]));
}

/** What the exporters made: those that made no image have no entry. */
function resultInfo(outputs: readonly Readonly<Record<string, string>>[]): controlpb.BuildResultInfo {
  const info = create(controlpb.BuildResultInfoSchema);
  for (const [index, output] of outputs.entries()) {
    const encoded = output["containerimage.descriptor"];
    if (encoded === undefined) continue;
    const { mediaType, digest, size } = JSON.parse(Buffer.from(encoded, "base64").toString("utf8")) as Descriptor;
    const descriptor = create(controlpb.DescriptorSchema, { mediaType, digest, size: BigInt(size) });
    info.Results[String(index)] = descriptor;
    info.ResultDeprecated ??= descriptor;
  }
  return info;
}
