import type { Vertex, VertexStatus, VertexWarning } from "@buildkit-ts/api/buildkit/control";
import { milliseconds } from "../output/format-time.ts";
import { type Interval, mergeIntervals } from "./interval.ts";
import type { TerminalWindow } from "./terminal-window.ts";

const newline = 0x0a;

/** Lines kept to be shown again if the step fails. */
const recentLines = 10;

/** Lines kept where none are printed before the end, as on a terminal. */
const maxKeptLines = 10_000;

/** What is known of one step, or of a group of steps that is shown as one. */
export class TracedVertex {
  readonly digest: string;
  name = "";
  error = "";
  isCached = false;
  /** Whether it is a group of which only subordinate members ran. */
  isHidden = false;
  /** Number in the output, from 1 in the order of appearance. */
  index = 0;
  /** In the order in which they started. */
  readonly statuses: VertexStatus[] = [];
  readonly changedStatuses: Set<string> = new Set();
  readonly warnings: VertexWarning[] = [];
  printedWarnings = 0;
  /** Lines with their time, without line ends; the last may be incomplete. */
  logs: Buffer[] = [];
  isLogPartial = false;
  /** How much of the first, incomplete line is printed already. */
  printedLogBytes = 0;
  readonly window: TerminalWindow | undefined;
  /** Events since the step was last in the foreground, and since when. */
  eventCount = 0;
  backgroundSince = 0;
  readonly intervals: Map<string, Interval> = new Map();
  merged: readonly Interval[] = [];
  #recent: Buffer[] = [];
  #last: Vertex | undefined;
  #lastIsPartial = false;
  readonly #statusIndex = new Map<string, number>();

  constructor(digest: string, window: TerminalWindow | undefined) {
    this.digest = digest;
    this.window = window;
  }

  get isStarted(): boolean {
    return this.merged.length > 0;
  }

  get isCompleted(): boolean {
    const last = this.merged.at(-1);
    return last !== undefined && last.stop !== undefined;
  }

  get isCanceled(): boolean {
    return this.error.endsWith("context canceled");
  }

  count(events: number): void {
    if (this.eventCount === 0) this.backgroundSince = performance.now();
    this.eventCount += events;
  }

  /** Takes a new state; tells whether anything that is shown changed. */
  update(vertex: Vertex): boolean {
    const wasStarted = this.isStarted;
    const changed = vertex.started !== undefined && this.#differs(vertex);
    if (vertex.started !== undefined) this.#last = vertex;
    // A repeated announcement must not reset what ran already.
    if (!wasStarted || vertex.started !== undefined) {
      this.name = vertex.name;
      this.error = vertex.error;
      this.isCached = vertex.cached;
    }
    this.addInterval(vertex);
    return changed;
  }

  addInterval(vertex: Vertex): boolean {
    if (vertex.started === undefined) return false;
    const key = `${vertex.started.seconds}.${vertex.started.nanos}`;
    const known = this.intervals.get(key);
    const stop = vertex.completed === undefined ? undefined : milliseconds(vertex.completed);
    this.intervals.set(key, { start: milliseconds(vertex.started), stop });
    this.merged = mergeIntervals(this.intervals.values());
    return known === undefined || known.stop !== stop;
  }

  addStatus(status: VertexStatus): void {
    const known = this.#statusIndex.get(status.ID);
    if (known !== undefined) {
      this.statuses[known] = status;
    } else if (status.started !== undefined) {
      this.#statusIndex.set(status.ID, this.statuses.length);
      this.statuses.push(status);
    }
    this.changedStatuses.add(status.ID);
  }

  addLog(data: Uint8Array, at: number): void {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    this.window?.write(bytes);
    let continues = this.isLogPartial && this.logs.length > 0;
    for (let offset = 0; offset < bytes.length; ) {
      const end = bytes.indexOf(newline, offset);
      const part = bytes.subarray(offset, end < 0 ? bytes.length : end);
      const last = this.logs.at(-1);
      if (continues && last !== undefined) this.logs[this.logs.length - 1] = Buffer.concat([last, part]);
      else this.logs.push(Buffer.concat([Buffer.from(`${this.#logTime(at)} `), part]));
      continues = false;
      this.isLogPartial = end < 0;
      offset = end < 0 ? bytes.length : end + 1;
    }
    if (this.logs.length > maxKeptLines) this.logs = this.logs.slice(-maxKeptLines / 2);
  }

  /** Keeps a printed line for the case that the step fails. */
  remember(line: Buffer, isPartial: boolean): void {
    if (this.#lastIsPartial) this.#recent.pop();
    this.#recent.push(line);
    this.#lastIsPartial = isPartial;
    if (this.#recent.length > recentLines) this.#recent.shift();
  }

  /** What to show of a failed step: the last printed lines, and those that were not printed. */
  get errorLog(): readonly Buffer[] {
    return [...this.logs, ...this.#recent];
  }

  #differs(vertex: Vertex): boolean {
    const last = this.#last;
    return (
      last === undefined ||
      last.name !== vertex.name ||
      last.cached !== vertex.cached ||
      last.error !== vertex.error ||
      last.started?.seconds !== vertex.started?.seconds ||
      last.started?.nanos !== vertex.started?.nanos ||
      vertex.completed !== undefined
    );
  }

  #logTime(at: number): string {
    const since = this.merged.at(-1)?.start;
    const seconds = since === undefined ? 0 : (at - since) / 1000;
    return seconds.toFixed(seconds < 10 ? 3 : seconds < 100 ? 2 : 1);
  }
}
