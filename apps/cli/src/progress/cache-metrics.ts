import { writeFileSync } from "node:fs";
import type { StatusResponse } from "@buildkit-ts/api/buildkit/control";

interface Step {
  name: string;
  isCached: boolean;
  isCompleted: boolean;
  isFrom: boolean;
}

/** Steps that are BuildKit's own. */
const ownSteps = ["[internal]", "[auth]", "importing cache", "exporting "];

/** Counts how many steps of a build came from the cache, and writes the misses and, as JSON, the numbers. */
export class CacheMetrics {
  readonly #output: string;
  readonly #startedAt: number;
  readonly #steps = new Map<string, Step>();

  /** @param output `stdout`, `stderr`, or a file. */
  constructor(output: string, startedAt: number) {
    this.#output = output;
    this.#startedAt = startedAt;
  }

  update(status: StatusResponse): void {
    for (const { digest, name, cached, completed } of status.vertexes) {
      const step = this.#steps.get(digest) ?? { name, isCached: false, isCompleted: false, isFrom: false };
      this.#steps.set(digest, step);
      if (/^\[.*\] FROM/.test(name)) step.isFrom = true;
      if (cached) step.isCached = true;
      if (completed !== undefined) step.isCompleted = true;
    }
  }

  finish(): void {
    const text = this.#report();
    if (this.#output === "stdout") process.stdout.write(text);
    else if (this.#output === "stderr") process.stderr.write(text);
    else writeFileSync(this.#output, text, { mode: 0o600 });
  }

  #report(): string {
    const all = [...this.#steps.values()];
    const user = all.filter(({ name }) => !ownSteps.some((prefix) => name.startsWith(prefix)));
    const from = user.filter((step) => step.isFrom);
    const misses = user.filter((step) => !step.isCached && !step.isFrom);
    const numbers = {
      total: all.length,
      completed: all.filter((step) => step.isCompleted).length,
      user_total: user.length,
      user_cached: user.filter((step) => step.isCached).length,
      user_completed: user.filter((step) => step.isCompleted).length,
      user_cacheable: user.length - from.length,
      from: from.length,
      miss: misses.length,
      client_duration_ms: Date.now() - this.#startedAt,
    };
    return `${misses.map(({ name }) => `cache miss: ${name}\n`).join("")}${JSON.stringify(numbers)}\n`;
  }
}
