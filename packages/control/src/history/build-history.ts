import { EventEmitter, on } from "node:events";
import type { DatabaseSync } from "node:sqlite";
import { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { controlpb, rpcpb } from "@buildkit-ts/api";
import type { ErrorReporter } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor } from "@buildkit-ts/oci";
import type { Explanation } from "@buildkit-ts/solver";
import { explanationDocument } from "../explanations.ts";
import { statusFromError } from "../wire/status-from-error.ts";
import type { HistoryBlobs } from "./history-blobs.ts";
import { compileHistoryFilter } from "./history-filter.ts";
import type { RecordedDocument } from "./recorded-document.ts";
import { unpackLog } from "./status-log.ts";

const traceMediaType = "application/vnd.buildkit.otlp.json.v0";
/** A record is written to its end, whatever becomes of its client. */
const noSignal = new AbortController().signal;
/** As BuildKit spells it, with a letter missing. */
const statusMediaType = "application/vnd.googeapis.google.rpc.status+proto";

/** The part of a record's response that names the blob with the explanations, as a descriptor. */
const explanationKey = "buildkit-ts.explain";

export interface HistoryLimits {
  /** Default 48 h. */
  readonly maxAgeMs: number;
  /** Default 50. */
  readonly maxEntries: number;
}

const { STARTED, COMPLETE, DELETED } = controlpb.BuildHistoryEventType;

/**
 * What builds there were, and which are running. Completed records survive the daemon.
 *
 *     start() ──▶ active ──complete()──▶ stored ──delete() or limits──▶ gone
 *
 * A record is on the disk when complete() returns. Documents follow, since no client shall wait for their bytes; whoever asks
 * for the record waits for them, so that nobody sees it without. A stored record goes only when it exceeds both limits and
 * nobody pinned it.
 */
export class BuildHistory {
  readonly #database: DatabaseSync;
  readonly #limits: HistoryLimits;
  readonly #blobs: HistoryBlobs;
  readonly #errors: ErrorReporter;
  readonly #active = new Map<string, controlpb.BuildHistoryRecord>();
  /** By build: documents that are being added. */
  readonly #attaching = new Map<string, Promise<void>>();
  /** By build: traces that are being added. */
  readonly #adding = new Map<string, Promise<void>>();
  readonly #events = new EventEmitter({ captureRejections: false }).setMaxListeners(0);

  constructor(options: {
    readonly database: DatabaseSync;
    readonly blobs: HistoryBlobs;
    readonly errors: ErrorReporter;
    readonly limits?: HistoryLimits;
  }) {
    this.#database = options.database;
    this.#blobs = options.blobs;
    this.#errors = options.errors;
    this.#limits = options.limits ?? { maxAgeMs: 48 * 3_600_000, maxEntries: 50 };
    this.#database.exec(
      `CREATE TABLE IF NOT EXISTS build_history (
         ref TEXT PRIMARY KEY, record BLOB NOT NULL, log BLOB, created_ms REAL NOT NULL, completed_ms REAL NOT NULL
       ) STRICT;
       CREATE INDEX IF NOT EXISTS build_history_completed ON build_history (completed_ms)`,
    );
  }

  start(record: controlpb.BuildHistoryRecord): void {
    this.#active.set(record.Ref, record);
    this.#emit(STARTED, record);
  }

  /**
   * Stores the finished record, with its status messages as `packLog()` gives them. How the result came to be is stored as
   * blobs after that, by platform of the result.
   */
  complete(record: controlpb.BuildHistoryRecord, log: Uint8Array, documents: readonly RecordedDocument[] = []): void {
    try {
      this.#save(record, log);
      this.#collect();
    } catch (error) {
      // On a full disk, say: what was built is worth more than the note of it.
      this.#errors.report(error, "storing the record of a build");
    }
    const { Ref: ref } = record;
    if (documents.length === 0) this.#end(record);
    else this.#attaching.set(ref, this.#attach(record, documents));
  }

  #end(record: controlpb.BuildHistoryRecord): void {
    this.#attaching.delete(record.Ref);
    this.#active.delete(record.Ref);
    this.#emit(COMPLETE, record);
  }

  async #attach(record: controlpb.BuildHistoryRecord, documents: readonly RecordedDocument[]): Promise<void> {
    try {
      for (const { platform, ...document } of documents) {
        const blob = await this.#blobs.add(record.Ref, document, { signal: noSignal });
        attestationsOf(record, platform).push(describe(blob, document.annotations));
      }
      this.#save(record, undefined);
    } catch (error) {
      // The build is worth more than the note of it.
      this.#errors.report(error, "storing the provenance of a build");
    } finally {
      this.#end(record);
    }
  }

  /** Waits for the documents of a record that is stored; of all such records, without a build. */
  async settled(ref = ""): Promise<void> {
    if (ref !== "") await this.#attaching.get(ref);
    else await Promise.all(this.#attaching.values());
  }

  /**
   * Puts the failure into a record that is not complete yet: its text, and all of it as a blob, since the details hold
   * whole files and records are listed often.
   */
  async addError(record: controlpb.BuildHistoryRecord, error: unknown): Promise<void> {
    const status = statusFromError(error, "build");
    record.error = create(rpcpb.StatusSchema, { code: status.code, message: status.message });
    const blob = { mediaType: statusMediaType, bytes: toBinary(rpcpb.StatusSchema, status) };
    try {
      // Not with the build's signal: a canceled build has a record as well.
      record.externalError = describe(await this.#blobs.add(record.Ref, blob, { signal: noSignal }));
    } catch (cause) {
      // The build's own failure is what the client shall hear of.
      this.#errors.report(cause, "storing the failure of a build");
    }
  }

  /** What is to be stored of how a result came to be; nothing, if it cannot be said. */
  async createDocuments(create: () => Promise<readonly RecordedDocument[]>): Promise<readonly RecordedDocument[]> {
    try {
      return await create();
    } catch (error) {
      // The build is worth more than the note of it.
      this.#errors.report(error, "describing the provenance of a build");
      return [];
    }
  }

  /** Puts into a record that is not complete yet why its steps were executed, and where to find that. */
  async addExplanations(record: controlpb.BuildHistoryRecord, explanations: readonly Explanation[]): Promise<void> {
    if (explanations.length === 0) return;
    try {
      const options = { signal: new AbortController().signal };
      const blob = await this.#blobs.add(record.Ref, explanationDocument(explanations), options);
      record.ExporterResponse[explanationKey] = JSON.stringify(blob);
    } catch (error) {
      this.#errors.report(error, "storing why steps of a build were executed");
    }
  }

  #save(record: controlpb.BuildHistoryRecord, log: Uint8Array | undefined): void {
    const bytes = toBinary(controlpb.BuildHistoryRecordSchema, record);
    if (log === undefined) {
      this.#database.prepare("UPDATE build_history SET record = ? WHERE ref = ?").run(bytes, record.Ref);
      return;
    }
    this.#database
      .prepare(
        "INSERT OR REPLACE INTO build_history (ref, record, log, created_ms, completed_ms) VALUES (?, ?, ?, ?, ?)",
      )
      .run(record.Ref, bytes, log, msOf(record.CreatedAt), msOf(record.CompletedAt));
  }

  /** Drops an active build without a record, for internal ones. */
  forget(ref: string): void {
    this.#active.delete(ref);
  }

  /** The stored status messages of a finished build; undefined of others. */
  async findLog(ref: string): Promise<Uint8Array | undefined> {
    await this.settled(ref);
    if (this.#active.has(ref)) return undefined;
    const row = this.#database.prepare("SELECT log FROM build_history WHERE ref = ?").get(ref);
    return row?.["log"] instanceof Uint8Array ? await unpackLog(row["log"]) : undefined;
  }

  /** @throws {BuildError} `not_found` */
  async update(ref: string, change: { readonly pinned: boolean }): Promise<void> {
    await this.settled(ref);
    const record = this.#find(ref);
    if (record === undefined)
      throw new BuildError("not_found", `failed to retrieve bucket: build history record ${ref} not found`);
    if (record.pinned === change.pinned) return;
    const changed = clone(controlpb.BuildHistoryRecordSchema, record);
    changed.pinned = change.pinned;
    changed.Generation += 1;
    this.#save(changed, undefined);
    this.#emit(COMPLETE, changed);
  }

  /** Adds the trace to a stored record. A record that is gone by now needs none. */
  async addTrace(ref: string, bytes: Uint8Array): Promise<void> {
    await this.settled(ref);
    if (this.#find(ref) === undefined) return;
    const adding = this.#addTrace(ref, bytes).finally(() => this.#adding.delete(ref));
    this.#adding.set(ref, adding);
    await adding;
  }

  async #addTrace(ref: string, bytes: Uint8Array): Promise<void> {
    const blob = await this.#blobs.add(ref, { mediaType: traceMediaType, bytes }, { signal: noSignal });
    const record = this.#find(ref);
    if (record === undefined) {
      await this.#blobs.release(ref);
      return;
    }
    record.trace = describe(blob);
    record.Generation += 1;
    this.#save(record, undefined);
    this.#emit(COMPLETE, record);
  }

  /** Deletes a stored record, with all that only it has. @throws {BuildError} `not_found` */
  async delete(ref: string): Promise<void> {
    await this.settled(ref);
    const record = this.#find(ref);
    if (record === undefined)
      throw new BuildError("not_found", `failed to retrieve bucket: build history record ${ref} not found`);
    this.#database.prepare("DELETE FROM build_history WHERE ref = ?").run(ref);
    this.#emit(DELETED, create(controlpb.BuildHistoryRecordSchema, { Ref: ref }));
    // Whoever is told that the record is gone finds nothing of it, nor anything that follows. What adds reports its failure.
    await this.#adding.get(ref)?.catch(() => undefined);
    await this.#blobs.release(ref);
  }

  /** Checks that a record can be finalised. All but its trace is stored with it. */
  finalize(ref: string): void {
    if (!this.#active.has(ref) && this.#find(ref) === undefined) {
      throw new BuildError("not_found", `failed to retrieve bucket: build history record ${ref} not found`);
    }
  }

  #find(ref: string): controlpb.BuildHistoryRecord | undefined {
    const row = this.#database.prepare("SELECT record FROM build_history WHERE ref = ?").get(ref);
    return row === undefined ? undefined : decodeRecord(row["record"]);
  }

  /** Active builds, then stored ones, then (unless `EarlyExit`) what happens. */
  async *listen(
    request: controlpb.BuildHistoryRequest,
    options: { readonly signal: AbortSignal; readonly now: number },
  ): AsyncIterable<controlpb.BuildHistoryEvent> {
    const matches = compileHistoryFilter(request.Filter, options.now);
    await this.settled(request.Ref);
    // Subscribed before the snapshot is taken, so that nothing falls between the two.
    const live = request.EarlyExit ? undefined : on(this.#events, "event", { signal: options.signal });
    const wanted = (record: controlpb.BuildHistoryRecord): boolean => request.Ref === "" || request.Ref === record.Ref;
    for (const record of this.#active.values()) if (wanted(record)) yield event(STARTED, record);
    if (!request.ActiveOnly) {
      const stored = this.#stored().filter((record) => wanted(record) && matches(record));
      const kept = request.Limit > 0 ? stored.slice(-request.Limit) : stored;
      for (const record of kept) yield event(COMPLETE, record);
    }
    if (live === undefined) return;
    for await (const [happened] of live as AsyncIterable<[controlpb.BuildHistoryEvent]>) {
      const { record, type } = happened;
      if (record === undefined || !wanted(record)) continue;
      if (isOfInterest(request, type) && (type !== COMPLETE || matches(record))) yield happened;
    }
  }

  #stored(): controlpb.BuildHistoryRecord[] {
    const rows = this.#database.prepare("SELECT record FROM build_history ORDER BY completed_ms").all();
    return rows.map((row) => decodeRecord(row["record"]));
  }

  #emit(type: controlpb.BuildHistoryEventType, record: controlpb.BuildHistoryRecord): void {
    this.#events.emit("event", event(type, record));
  }

  #collect(): void {
    const { maxAgeMs, maxEntries } = this.#limits;
    // Mostly nothing is too old, which the index tells without a look at the records.
    const tooOld = this.#database
      .prepare("SELECT 1 FROM build_history WHERE completed_ms < ? LIMIT 1")
      .get(Date.now() - maxAgeMs);
    if (tooOld === undefined) return;
    const unpinned = this.#stored().filter((record) => !record.pinned);
    const beyond = unpinned.slice(0, Math.max(0, unpinned.length - maxEntries));
    const oldest = Date.now() - maxAgeMs;
    for (const record of beyond) {
      if (msOf(record.CompletedAt) >= oldest) continue;
      this.delete(record.Ref).catch((error: unknown) => this.#errors.report(error, "deleting a build's record"));
    }
  }
}

/** The list of a record that statements about one tree go into. */
function attestationsOf(record: controlpb.BuildHistoryRecord, platform: string | undefined): controlpb.Descriptor[] {
  if (platform === undefined) {
    record.Result ??= create(controlpb.BuildResultInfoSchema);
    return record.Result.Attestations;
  }
  record.Results[platform] ??= create(controlpb.BuildResultInfoSchema);
  return record.Results[platform].Attestations;
}

function describe(blob: Descriptor, annotations: Readonly<Record<string, string>> = {}): controlpb.Descriptor {
  const { mediaType, digest, size } = blob;
  return create(controlpb.DescriptorSchema, { mediaType, digest, size: BigInt(size), annotations: { ...annotations } });
}

/** Who asks for active builds only hears of ends where a build was named. */
function isOfInterest(request: controlpb.BuildHistoryRequest, type: controlpb.BuildHistoryEventType): boolean {
  return !request.ActiveOnly || type === STARTED || request.Ref !== "";
}

function event(
  type: controlpb.BuildHistoryEventType,
  record: controlpb.BuildHistoryRecord,
): controlpb.BuildHistoryEvent {
  return create(controlpb.BuildHistoryEventSchema, { type, record });
}

function decodeRecord(bytes: unknown): controlpb.BuildHistoryRecord {
  return fromBinary(controlpb.BuildHistoryRecordSchema, bytes as Uint8Array);
}

function msOf(timestamp: { readonly seconds: bigint; readonly nanos: number } | undefined): number {
  return timestamp === undefined ? 0 : Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;
}
