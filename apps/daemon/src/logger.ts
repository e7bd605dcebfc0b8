import { writeSync } from "node:fs";
import type { ErrorReporter } from "@buildkit-ts/async";

const levels = ["trace", "debug", "info", "warning", "error"] as const;
export type LogLevel = (typeof levels)[number];

/** The daemon's own log, on standard error, in the two formats that BuildKit's log readers know: logfmt and JSON. */
export class Logger implements ErrorReporter {
  readonly #threshold: number;
  readonly #json: boolean;

  constructor(options: { readonly level: LogLevel; readonly format: "text" | "json" }) {
    this.#threshold = levels.indexOf(options.level);
    this.#json = options.format === "json";
  }

  log(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    if (levels.indexOf(level) < this.#threshold) return;
    const time = new Date().toISOString();
    const line = this.#json
      ? JSON.stringify({ time, level, msg: message, ...fields })
      : Object.entries({ time, level, msg: message, ...fields })
          .map(([key, value]) => `${key}=${quote(String(value))}`)
          .join(" ");
    writeSync(2, `${line}\n`);
  }

  report(error: unknown, context: string): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.log("error", context, { error: text });
  }
}

function quote(value: string): string {
  return /^[\w.:/+-]+$/.test(value) ? value : JSON.stringify(value);
}

/** @returns undefined for a name that is no level. */
export function parseLogLevel(name: string): LogLevel | undefined {
  const aliases: Readonly<Record<string, LogLevel>> = { warn: "warning", fatal: "error", panic: "error" };
  return levels.find((level) => level === name.toLowerCase()) ?? aliases[name.toLowerCase()];
}
