import { availableParallelism } from "node:os";
import { type MessagePort, parentPort, type Worker, workerData } from "node:worker_threads";
import { BuildError, type Code } from "@buildkit-ts/errdefs";
import { startWorker } from "./worker-thread.ts";

/** What a thread is started with. */
interface ThreadData {
  /** Not 0 once the caller of the present call has aborted. Shared memory, since a busy thread hears no messages. */
  readonly aborted: Int32Array;
}

interface CallMessage {
  readonly request: unknown;
}

type AnswerMessage = { readonly result: unknown } | { readonly failure: Failure };

interface Failure {
  readonly message: string;
  readonly code: string | undefined;
  readonly hint: string | undefined;
  readonly stack: string | undefined;
  readonly isBuildError: boolean;
}

/** A call inside a worker thread. */
export interface WorkerCall {
  /** @throws The abort. Long synchronous work calls this between its steps. */
  throwIfAborted(): void;
}

export interface WorkerCallsOptions {
  /** How many threads at most; by default as many as there are processors, but no more than 4. */
  readonly maxThreads?: number;
  /** Threads without work end after this time; 5 s unless given. */
  readonly idleMs?: number;
}

/**
 * Blocking work in worker threads: each thread does one call at a time, further calls wait in the order of their arrival.
 * Threads start on demand and end when idle; idle ones do not keep the process alive.
 */
export class WorkerCalls<Request, Result> implements AsyncDisposable {
  readonly #url: string;
  readonly #maxThreads: number;
  readonly #idleMs: number;
  readonly #idle: CallThread[] = [];
  readonly #threads = new Set<CallThread>();
  readonly #waiting: (() => void)[] = [];

  /** @param url Of the worker's module: `new URL("./x.worker.ts", import.meta.url).href`, which calls {@linkcode serveWorkerCalls}. */
  constructor(url: string, options: WorkerCallsOptions = {}) {
    this.#url = url;
    this.#maxThreads = options.maxThreads ?? Math.min(4, availableParallelism());
    this.#idleMs = options.idleMs ?? 5000;
  }

  /** Does a call. After an abort it still waits until the thread has noticed: the work has ended when this settles. */
  async call(request: Request, options: { readonly signal: AbortSignal }): Promise<Result> {
    const { signal } = options;
    signal.throwIfAborted();
    const thread = await this.#take(signal);
    try {
      return (await thread.run(request, signal)) as Result;
    } finally {
      this.#giveBack(thread);
    }
  }

  async #take(signal: AbortSignal): Promise<CallThread> {
    for (;;) {
      const idle = this.#idle.pop();
      if (idle?.isDead === false) return idle;
      if (idle !== undefined) {
        this.#threads.delete(idle);
        continue;
      }
      if (this.#threads.size < this.#maxThreads) {
        const thread = new CallThread(this.#url);
        this.#threads.add(thread);
        return thread;
      }
      await this.#waitForThread(signal);
    }
  }

  async #waitForThread(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const wake = (): void => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(wake), 1);
        reject(signal.reason as Error);
      };
      this.#waiting.push(wake);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  #giveBack(thread: CallThread): void {
    if (thread.isDead) this.#threads.delete(thread);
    else {
      this.#idle.push(thread);
      thread.startIdling(this.#idleMs, () => {
        this.#threads.delete(thread);
        const index = this.#idle.indexOf(thread);
        if (index >= 0) this.#idle.splice(index, 1);
      });
    }
    this.#waiting.shift()?.();
  }

  /** Ends idle threads now, and waits for busy ones to end their calls. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#threads].map(async (thread) => await thread.end()));
    this.#threads.clear();
    this.#idle.length = 0;
  }
}

class CallThread {
  readonly #worker: Worker;
  readonly #aborted = new Int32Array(new SharedArrayBuffer(4));
  #pending: { resolve: (result: unknown) => void; reject: (error: Error) => void } | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #done: Promise<void> = Promise.resolve();
  isDead = false;

  constructor(url: string) {
    const worker = startWorker(url, { workerData: { aborted: this.#aborted } satisfies ThreadData });
    this.#worker = worker;
    worker.on("message", (answer: AnswerMessage) => {
      const pending = this.#pending;
      this.#pending = undefined;
      if ("result" in answer) pending?.resolve(answer.result);
      else pending?.reject(reviveError(answer.failure));
    });
    worker.on("error", (error: unknown) => this.#die(error));
    worker.on("exit", () => this.#die(new Error("The worker thread ended")));
  }

  async run(request: unknown, signal: AbortSignal): Promise<unknown> {
    clearTimeout(this.#idleTimer);
    // It may have been aborted while this thread was waited for; no event would tell.
    signal.throwIfAborted();
    this.#worker.ref();
    Atomics.store(this.#aborted, 0, 0);
    const onAbort = (): void => void Atomics.store(this.#aborted, 0, 1);
    signal.addEventListener("abort", onAbort, { once: true });
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending = { resolve, reject };
    this.#done = promise.then(
      () => undefined,
      () => undefined,
    );
    try {
      this.#worker.postMessage({ request } satisfies CallMessage);
      return await promise;
    } catch (error) {
      // What the thread throws after an abort says only that it was aborted; the reason is here.
      if (signal.aborted) throw signal.reason;
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#worker.unref();
    }
  }

  startIdling(ms: number, onEnd: () => void): void {
    this.#idleTimer = setTimeout(() => {
      onEnd();
      this.#worker.postMessage(undefined);
    }, ms).unref();
  }

  async end(): Promise<void> {
    clearTimeout(this.#idleTimer);
    await this.#done;
    await this.#worker.terminate();
  }

  #die(error: unknown): void {
    this.isDead = true;
    this.#pending?.reject(error instanceof Error ? error : new Error(String(error)));
    this.#pending = undefined;
  }
}

/** The worker's side of {@linkcode WorkerCalls}: answers calls with what `handle` returns or throws. */
export function serveWorkerCalls<Request, Result>(
  handle: (request: Request, call: WorkerCall) => Result | Promise<Result>,
): void {
  const port: MessagePort | null = parentPort;
  if (port === null) throw new TypeError("serveWorkerCalls() is for worker threads");
  const { aborted } = workerData as ThreadData;
  const throwIfAborted = (): void => {
    if (Atomics.load(aborted, 0) !== 0) throw new BuildError("canceled", "The call was aborted");
  };
  port.on("message", (message: CallMessage | undefined) => {
    if (message === undefined) {
      port.close();
      return;
    }
    const work = async (): Promise<AnswerMessage> => {
      throwIfAborted();
      return { result: await handle(message.request as Request, { throwIfAborted }) };
    };
    work().then(
      (reply) => port.postMessage(reply),
      (error: unknown) => port.postMessage({ failure: describeError(error) }),
    );
  });
}

// Errors lose their class, their code and their hint when they are cloned between threads.
function describeError(thrown: unknown): Failure {
  let primary: unknown = thrown;
  while (primary instanceof SuppressedError) primary = primary.suppressed;
  const error = primary instanceof Error ? primary : new Error(String(primary));
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  const isBuildError = error instanceof BuildError;
  return {
    message: error.message,
    code,
    hint: isBuildError ? error.hint : undefined,
    stack: error.stack,
    isBuildError,
  };
}

function reviveError(failure: Failure): Error {
  const cause = new Error(failure.message);
  if (failure.stack !== undefined) cause.stack = failure.stack;
  if (failure.isBuildError) {
    const options = { cause, ...(failure.hint !== undefined && { hint: failure.hint }) };
    return new BuildError(failure.code as Code, failure.message, options);
  }
  const error = new Error(failure.message, { cause });
  return failure.code === undefined ? error : Object.assign(error, { code: failure.code });
}
