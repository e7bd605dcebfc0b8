import type { VertexStatus } from "@buildkit-ts/api/buildkit/control";
import { formatBytes } from "@buildkit-ts/gotext";
import { milliseconds } from "../output/format-time.ts";
import { totalSeconds } from "./interval.ts";
import type { ProgressTrace } from "./progress-trace.ts";
import type { TracedVertex } from "./traced-vertex.ts";

const antiFlickerMs = 5000;
const maxDelayMs = 10_000;
const minTimeDeltaMs = 5000;
const minProgressDelta = 0.05;
const maxNameLength = 72;

/**
 * Writes progress as plain lines, each with the number of its step. One step at a time is in the foreground; the choice
 * among those that run is fair, and those that completed come first.
 */
export class PlainPrinter {
  readonly #write: (text: string | Buffer) => void;
  readonly #lastPrinted = new Map<string, { readonly current: bigint; readonly at: number }>();
  readonly #cutsNames = process.env["PROGRESS_NO_TRUNC"] === "0";
  #current: TracedVertex | undefined;
  #isFirst = true;
  #lastIndex = 0;

  constructor(write: (text: string | Buffer) => void) {
    this.#write = write;
  }

  print(trace: ProgressTrace): void {
    const updated = [...trace.updated].filter((vertex) => !vertex.isHidden);
    const completed = updated.filter((vertex) => vertex.isCompleted);
    const running = new Set(updated.filter((vertex) => !vertex.isCompleted));
    const foreground = this.#current;
    const foregroundCompleted = foreground !== undefined && completed.includes(foreground);
    if (foregroundCompleted) this.#printVertex(trace, foreground);
    completed.sort((left, right) => (left.merged.at(-1)?.stop ?? 0) - (right.merged.at(-1)?.stop ?? 0));
    for (const vertex of completed) if (vertex !== foreground) this.#printVertex(trace, vertex);
    if (running.size === 0) this.#keepOneOpen(trace, foreground);
    else this.#choose(trace, { running, foreground, foregroundCompleted });
  }

  /** With nothing new, some step that runs is in the foreground. */
  #keepOneOpen(trace: ProgressTrace, foreground: TracedVertex | undefined): void {
    if (foreground !== undefined && foreground.isStarted && !foreground.isCompleted) return;
    for (const vertex of trace.byDigest.values()) {
      if (!vertex.isStarted || vertex.isCompleted || vertex.isHidden) continue;
      this.#printVertex(trace, vertex);
      return;
    }
  }

  #choose(
    trace: ProgressTrace,
    state: {
      readonly running: Set<TracedVertex>;
      readonly foreground: TracedVertex | undefined;
      readonly foregroundCompleted: boolean;
    },
  ): void {
    const { running, foreground, foregroundCompleted } = state;
    if (foreground !== undefined && running.has(foreground)) this.#printVertex(trace, foreground);
    const now = performance.now();
    const candidates = [...(foreground === undefined ? running : new Set([...running, foreground]))].map((vertex) => {
      const waitedMs = now - vertex.backgroundSince;
      const isOverdue = waitedMs > maxDelayMs && vertex !== foreground;
      return { vertex, waitedMs, isOverdue, speed: vertex.eventCount / Math.max(waitedMs, 0.001) };
    });
    const fastest = candidates.reduce((best, next) => (next.isOverdue || best.speed < next.speed ? next : best));
    if (foregroundCompleted || foreground === undefined) {
      this.#printVertex(trace, fastest.vertex);
      return;
    }
    const overdue = candidates.find((candidate) => candidate.isOverdue);
    if (overdue !== undefined) {
      this.#printVertex(trace, overdue.vertex);
      return;
    }
    const total = candidates.reduce((sum, { speed }) => sum + speed, 0);
    const own = candidates.find(({ vertex }) => vertex === foreground);
    if (own === undefined) return;
    const share = total === 0 ? 0 : own.speed / total;
    if (antiFlickerMs / (1 - share) < own.waitedMs) this.#printVertex(trace, fastest.vertex);
  }

  #printVertex(trace: ProgressTrace, vertex: TracedVertex): void {
    this.#lastIndex += vertex.index === 0 ? 1 : 0;
    if (vertex.index === 0) vertex.index = this.#lastIndex;
    if (vertex !== this.#current) this.#switchTo(vertex);
    else if (vertex.printedLogBytes > 0 && hasNotes(vertex)) this.#breakLine(vertex);
    const isOpen = this.#printStatuses(vertex);
    for (; vertex.printedWarnings < vertex.warnings.length; vertex.printedWarnings += 1) {
      const short = Buffer.from(vertex.warnings[vertex.printedWarnings]?.short ?? []).toString("utf8");
      this.#write(`#${vertex.index} WARN: ${short}\n`);
    }
    this.#printLogs(vertex);
    this.#current = vertex;
    if (vertex.isCompleted && !isOpen) this.#printEnd(vertex);
    trace.updated.delete(vertex);
  }

  #switchTo(vertex: TracedVertex): void {
    const old = this.#current;
    if (old !== undefined) {
      if (old.isLogPartial) this.#write("\n");
      old.printedLogBytes = 0;
      old.eventCount = 0;
      this.#write(`#${old.index} ...\n`);
    }
    if (!this.#isFirst) this.#write("\n");
    this.#isFirst = false;
    const isLong = this.#cutsNames && vertex.name.length > maxNameLength;
    const name = isLong ? `${vertex.name.slice(0, maxNameLength)}...` : vertex.name;
    this.#write(`#${vertex.index} ${name}\n`);
  }

  /** Ends a line that is not complete; it is written again as a whole when it is. */
  #breakLine(vertex: TracedVertex): void {
    this.#write("\n");
    vertex.printedLogBytes = 0;
  }

  /** Tells whether a status goes on: loading of a remote cache may have some without an active step. */
  #printStatuses(vertex: TracedVertex): boolean {
    let isOpen = false;
    for (const status of vertex.statuses) {
      if (!vertex.changedStatuses.has(status.ID) || !this.#isDue(status)) continue;
      const at = status.timestamp === undefined ? 0 : milliseconds(status.timestamp);
      this.#lastPrinted.set(status.ID, { current: status.current, at });
      if (status.completed === undefined) isOpen = true;
      this.#write(`#${vertex.index} ${status.ID}${formatAmount(status)}${formatElapsed(status)}\n`);
    }
    vertex.changedStatuses.clear();
    return isOpen;
  }

  #isDue(status: VertexStatus): boolean {
    const last = this.#lastPrinted.get(status.ID);
    if (last === undefined || status.completed !== undefined) return true;
    const { total, current, timestamp } = status;
    const progress = total > 0n ? Number(current - last.current) / Number(total) : 0;
    const elapsed = (timestamp === undefined ? 0 : milliseconds(timestamp)) - last.at;
    return progress >= minProgressDelta || elapsed >= minTimeDeltaMs;
  }

  #printLogs(vertex: TracedVertex): void {
    const { logs } = vertex;
    for (const [index, line] of logs.entries()) {
      const isContinued = index === 0 && vertex.printedLogBytes !== 0;
      if (!isContinued) this.#write(`#${vertex.index} `);
      this.#write(isContinued ? line.subarray(vertex.printedLogBytes) : line);
      const isPartial = index === logs.length - 1 && vertex.isLogPartial;
      if (!isPartial) this.#write("\n");
      vertex.remember(line, isPartial);
    }
    const last = logs.at(-1);
    if (last === undefined) return;
    vertex.logs = vertex.isLogPartial ? [last] : [];
    vertex.printedLogBytes = vertex.isLogPartial ? last.length : 0;
  }

  #printEnd(vertex: TracedVertex): void {
    this.#current = undefined;
    vertex.eventCount = 0;
    if (vertex.isLogPartial) this.#write("\n");
    const prefix = `#${vertex.index}`;
    if (vertex.isCanceled) this.#write(`${prefix} CANCELED\n`);
    else if (vertex.error !== "") this.#write(`${prefix} ERROR: ${vertex.error}\n`);
    else if (vertex.isCached) this.#write(`${prefix} CACHED\n`);
    else this.#write(`${prefix} DONE ${totalSeconds(vertex.merged, Date.now()).toFixed(1)}s\n`);
  }
}

/** Whether there is something to tell besides the step's own output. */
function hasNotes(vertex: TracedVertex): boolean {
  return vertex.changedStatuses.size > 0 || vertex.warnings.length > vertex.printedWarnings;
}

/** What failed steps wrote last. */
export function printErrorLogs(trace: ProgressTrace, write: (text: string | Buffer) => void): void {
  for (const vertex of trace.started) {
    if (vertex.error === "" || vertex.isCanceled) continue;
    write(`------\n > ${vertex.name}:\n`);
    for (const line of vertex.errorLog) {
      write(line);
      write("\n");
    }
    write("------\n");
  }
}

/** How much of how much, with a space in front. */
export function formatAmount(status: VertexStatus): string {
  if (status.total !== 0n) return ` ${formatBytes(status.current)} / ${formatBytes(status.total)}`;
  return status.current === 0n ? "" : ` ${formatBytes(status.current)}`;
}

function formatElapsed(status: VertexStatus): string {
  const { started, completed, timestamp } = status;
  const end = completed ?? timestamp;
  const seconds = started === undefined || end === undefined ? 0 : (milliseconds(end) - milliseconds(started)) / 1000;
  return (seconds > 0.01 ? ` ${seconds.toFixed(1)}s` : "") + (completed === undefined ? "" : " done");
}
