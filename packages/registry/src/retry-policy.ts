import type { Clock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";

/** How often a request is sent before its failure counts. */
export const maxAttempts = 5;

const firstDelayMs = 1000;
const maxDelayMs = 8000;
const maxRetryAfterMs = 30_000;

/** How long to wait after an attempt (the first is 1): longer each time. */
export function backoffMs(attempt: number): number {
  return Math.min(firstDelayMs * 2 ** (attempt - 1), maxDelayMs);
}

/** Whether a status stands for a failure that may pass. */
export function isPassing(statusCode: number): boolean {
  return [408, 425, 429].includes(statusCode) || (statusCode >= 500 && statusCode !== 501);
}

/** How often in a row a server may fail in one way: of many requests some meet the same failure twice by chance. */
const maxEqualFailures = 3;

/** Whether a server that gave these answers, the newest last, will hardly recover while somebody waits. */
export function isStuck(statuses: readonly number[]): boolean {
  const newest = statuses.slice(-maxEqualFailures);
  const [first = 0] = newest;
  return first >= 500 && newest.length === maxEqualFailures && newest.every((status) => status === first);
}

/** How long the server wants to be left alone, half a minute at most; undefined where it does not say. */
export function retryAfterMs(answer: { header(name: string): string | undefined }, now: number): number | undefined {
  const text = answer.header("retry-after");
  if (text === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), maxRetryAfterMs);
}

// Not a refused connection or an unknown host: those are mostly wrong names, which nobody wants to wait for.
const passingCodes = new Set([
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "EAI_AGAIN",
  "UND_ERR_SOCKET",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
]);

/** Whether a connection failed in a way that may pass. */
export function isConnectionFailure(error: unknown): boolean {
  return errorCodes(error).some((code) => passingCodes.has(code) || code.startsWith("HPE_"));
}

/** The codes of an error and of what caused it. */
export function errorCodes(error: unknown): string[] {
  const codes: string[] = [];
  for (
    let current: unknown = error, depth = 0;
    current instanceof Error && depth < 5;
    current = current.cause, depth += 1
  ) {
    if ("code" in current && typeof current.code === "string") codes.push(current.code);
    // Several addresses were tried.
    if (current instanceof AggregateError) codes.push(...(current.errors as unknown[]).flatMap(errorCodes));
  }
  return codes;
}

const maxDamaged = 4;

/**
 * Repeats work whose answer broke off, or came with other bytes than its digest promised: something on the way may have
 * damaged it. What the server refused is not asked for again.
 *
 * @throws {BuildError} what went wrong the last time.
 */
export async function repeatDamaged<T>(
  work: () => Promise<T>,
  options: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      options.signal.throwIfAborted();
      const isBroken = !(error instanceof BuildError) && isConnectionFailure(error);
      const isDamaged = error instanceof BuildError && error.code === "data_loss";
      if (attempt === maxDamaged || !(isBroken || isDamaged)) throw isBroken ? brokenAnswer(error) : error;
      await options.clock.sleep(backoffMs(attempt), options);
    }
  }
}

function brokenAnswer(error: unknown): BuildError {
  const text = error instanceof Error ? error.message : String(error);
  return new BuildError("unavailable", `Cannot read answer of registry: ${text}`, { cause: error });
}
