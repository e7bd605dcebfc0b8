import { milliseconds } from "../output/format-time.ts";
import type { ProgressColors } from "./colors.ts";
import { type Interval, totalSeconds } from "./interval.ts";
import { formatAmount } from "./plain-printer.ts";
import type { ProgressTrace } from "./progress-trace.ts";
import type { TracedVertex } from "./traced-vertex.ts";

/** A terminal that progress is drawn on. */
export interface ProgressTerminal {
  readonly columns: number;
  readonly rows: number;
  write(text: string): void;
}

interface Line {
  readonly name: string;
  readonly amount: string;
  readonly intervals: readonly Interval[];
  readonly isCompleted: boolean;
  readonly color: keyof ProgressColors;
  readonly vertex: TracedVertex | undefined;
}

const faint = "\u001b[2m";
const reset = "\u001b[0m";
const eraseToEnd = "\u001b[K";
const eraseBelow = "\u001b[J";
/** Terminals that know this show a frame at once; others ignore it. */
const beginFrame = "\u001b[?2026h\u001b[?25l";
const endFrame = "\u001b[?25h\u001b[?2026l";
const minLogLines = 6;
/** Columns on the right that a step's output leaves free. */
const logMargin = 10;

/**
 * Draws progress on a terminal, each frame over the one before: a line for each step, and below steps that run the last
 * lines of their output. A frame is one write, and lines are overwritten rather than erased first, so nothing flickers.
 */
export class TerminalPrinter {
  readonly #terminal: ProgressTerminal;
  readonly #colors: ProgressColors;
  readonly #logLines: number;
  #drawnRows = 0;
  #drawnColumns = 0;

  constructor(terminal: ProgressTerminal, colors: ProgressColors, logLines: number) {
    this.#terminal = terminal;
    this.#colors = colors;
    this.#logLines = logLines;
  }

  /** @param options.isLast Shows all steps, however many, and leaves them on the screen. */
  draw(trace: ProgressTrace, options: { readonly isLast: boolean }): void {
    const width = Math.max(20, this.#terminal.columns);
    const height = Math.max(4, this.#terminal.rows);
    const now = Date.now() - trace.clockDifference;
    const all = linesOf(trace);
    const windows = options.isLast ? new Map<TracedVertex, string[]>() : this.#chooseWindows(all, { width, height });
    let shownLogs = 0;
    for (const lines of windows.values()) shownLogs += lines.length;
    const shown = options.isLast ? all : fitHeight(all, height - 2 - shownLogs);
    const rows = [this.#title(trace, { width, isLast: options.isLast })];
    for (const line of shown) {
      const row = this.#row(line, width, now);
      if (row === undefined) continue;
      rows.push(row);
      for (const log of (line.vertex && windows.get(line.vertex)) ?? []) rows.push(log);
    }
    this.#show(rows, width);
  }

  #show(rows: readonly string[], width: number): void {
    // When the terminal became narrower, it has wrapped the lines that are there.
    const wrapped = this.#drawnColumns > width ? Math.ceil(this.#drawnColumns / width) : 1;
    const up = this.#drawnRows * wrapped;
    const home = up > 0 ? `\u001b[${up}A\r` : "\r";
    const body = rows.map((row) => `${row}${eraseToEnd}\n`).join("");
    this.#terminal.write(`${beginFrame}${home}${body}${eraseBelow}${endFrame}`);
    this.#drawnRows = rows.length;
    this.#drawnColumns = width;
  }

  #title(trace: ProgressTrace, options: { readonly width: number; readonly isLast: boolean }): string {
    const visible = trace.visible;
    const total = visible.size;
    let completed = 0;
    for (const vertex of visible) if (vertex.isCompleted) completed += 1;
    const seconds = trace.startedAt === undefined ? 0 : (Date.now() - trace.startedAt) / 1000;
    const state = options.isLast && completed > 0 && completed === total ? "FINISHED" : "";
    return `[+] Building ${seconds.toFixed(1)}s (${completed}/${total}) ${state}`.slice(0, options.width);
  }

  #row(line: Line, width: number, now: number): string | undefined {
    if (line.intervals.length === 0) return undefined;
    const seconds = totalSeconds(line.intervals, now);
    const timer = ` ${(seconds < 0.05 ? 0 : seconds).toFixed(1).padStart(3)}s`;
    const prefix = " => ";
    let left = width - prefix.length - timer.length - 2;
    const showAmount = line.amount !== "" && left + line.amount.length > 20;
    if (showAmount) left -= line.amount.length;
    if (left < 12) return undefined;
    const text = prefix + cut(line.name, left) + (showAmount ? line.amount : "");
    const padded = text + " ".repeat(Math.max(0, width - 1 - timer.length - displayWidth(text))) + timer;
    const color = line.isCompleted ? this.#colors[line.color] : "";
    return color === "" ? padded : `${color}${padded}${reset}`;
  }

  /** Gives steps that run and write most a part of the free rows for their output. */
  #chooseWindows(
    lines: readonly Line[],
    { width, height }: { readonly width: number; readonly height: number },
  ): Map<TracedVertex, string[]> {
    const logLines = Math.max(minLogLines, Math.min(this.#logLines, height - minLogLines - 1));
    const running = lines.filter((line) => !line.isCompleted);
    const candidates = running.flatMap(({ vertex }) => (vertex?.window?.byteCount ? [vertex] : []));
    candidates.sort((left, right) => (right.window?.byteCount ?? 0) - (left.window?.byteCount ?? 0));
    const windows = new Map<TracedVertex, string[]>();
    let free = height - 2 - running.length;
    for (const vertex of candidates) {
      if (free <= logLines + 3) break;
      const log = vertex.window?.lastLines(logLines) ?? [];
      const rows = log.map((text) => `${faint} => => # ${cut(text, width - logMargin)}${reset}`);
      windows.set(vertex, rows);
      free -= logLines + 3;
    }
    return windows;
  }
}

function linesOf(trace: ProgressTrace): Line[] {
  return trace.started.flatMap((vertex) => [stepLine(vertex), ...statusLines(vertex), ...warningLines(vertex)]);
}

function stepLine(vertex: TracedVertex): Line {
  const isCanceled = vertex.error !== "" && vertex.isCanceled;
  const hasError = vertex.error !== "" && !isCanceled;
  const marks = `${vertex.isCached ? "CACHED " : ""}${isCanceled ? "CANCELED " : hasError ? "ERROR " : ""}`;
  return {
    name: marks + vertex.name.replaceAll("\t", " "),
    amount: "",
    intervals: vertex.merged,
    isCompleted: [...vertex.intervals.values()].every(({ stop }) => stop !== undefined),
    color: isCanceled ? "cancel" : hasError ? "error" : "run",
    vertex,
  };
}

function statusLines(vertex: TracedVertex): Line[] {
  return vertex.statuses.flatMap((status) => {
    if (status.started === undefined) return [];
    const stop = status.completed === undefined ? undefined : milliseconds(status.completed);
    return {
      name: `=> ${status.ID}`,
      amount: formatAmount(status),
      intervals: [{ start: milliseconds(status.started), stop }],
      isCompleted: stop !== undefined,
      color: "run",
      vertex: undefined,
    };
  });
}

function warningLines(vertex: TracedVertex): Line[] {
  const last = vertex.merged.at(-1);
  return vertex.warnings.map((warning) => ({
    name: `WARN: ${Buffer.from(warning.short).toString("utf8")}`,
    amount: "",
    intervals: last === undefined ? [] : [last],
    isCompleted: true,
    color: "warning",
    vertex: undefined,
  }));
}

/** The last lines, with those that are not finished kept instead of finished ones. */
function fitHeight(lines: readonly Line[], limit: number): readonly Line[] {
  if (lines.length <= limit) return lines;
  if (limit <= 0) return [];
  const shown = lines.slice(-limit);
  const unfinished = lines.slice(0, -limit).filter((line) => !line.isCompleted);
  if (unfinished.length === 0) return shown;
  let toDrop = unfinished.length;
  const kept = shown.filter((line) => {
    if (!line.isCompleted || toDrop <= 0) return true;
    toDrop -= 1;
    return false;
  });
  return [...unfinished.slice(unfinished.length - (shown.length - kept.length)), ...kept];
}

const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}]/u;

function displayWidth(text: string): number {
  // Nearly all names are plain: no need to look at each character.
  if (/^[\u0020-\u007e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += wide.test(character) ? 2 : 1;
  return width;
}

function cut(text: string, width: number): string {
  const printable = text.replaceAll(/\p{Cc}/gu, "");
  if (displayWidth(printable) <= width) return printable;
  let shown = "";
  let used = 0;
  for (const character of printable) {
    used += wide.test(character) ? 2 : 1;
    if (used > width) break;
    shown += character;
  }
  return shown;
}
