import type { ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Result } from "@buildkit-ts/solver";

/**
 * What the ops of this worker give: a hold on a ref, or on nothing, which stands for an empty tree (`scratch`).
 *
 * The id is `<worker>::<ref>`, with an empty ref for scratch, and finds the ref again after a restart.
 */
export class WorkerResult implements Result {
  readonly id: string;
  readonly value: ImmutableRef | undefined;
  readonly #workerId: string;

  /** Takes over the hold. */
  constructor(workerId: string, ref: ImmutableRef | undefined) {
    this.#workerId = workerId;
    this.id = formatResultId(workerId, ref?.id ?? "");
    this.value = ref;
  }

  clone(): WorkerResult {
    return new WorkerResult(this.#workerId, this.value?.clone());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.value?.[Symbol.asyncDispose]();
  }
}

/** The ref of a result, which stays the result's; undefined for scratch. @throws {BuildError} `internal`, if no worker made it. */
export function refOfResult(result: Result): ImmutableRef | undefined {
  const { value } = result;
  if (value === undefined || value === null) return undefined;
  if (typeof value === "object" && "isLazy" in value) return value as ImmutableRef;
  throw new BuildError("internal", `Cannot use result "${result.id}": it holds no file system tree`);
}

export function formatResultId(workerId: string, refId: string): string {
  return `${workerId}::${refId}`;
}

/** @throws {BuildError} `invalid_argument`, unless it is `<worker>::<ref>`. */
export function parseResultId(id: string): { readonly workerId: string; readonly refId: string } {
  const [workerId, refId, ...rest] = id.split("::");
  if (workerId === undefined || refId === undefined || rest.length > 0) {
    throw new BuildError("invalid_argument", `invalid workerref id: ${id.slice(0, 200)}`);
  }
  return { workerId, refId };
}
