import { once } from "node:events";
import type { Worker } from "node:worker_threads";
import { type ErrorReporter, startWorker } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { MessageFromThread, MessageToThread, ProxyThreadData } from "./proxy-messages.ts";
import type { ProxyReport } from "./proxy-report.ts";
import type { ProxyHooks } from "./proxy-server.ts";

/** What the JavaScript of one proxy may hold; bodies pass through it piece by piece. */
const maxHeapMb = 256;
const stopMs = 10_000;

const lost: ProxyReport = {
  requests: [],
  materials: [],
  incomplete: [{ method: "", url: "", reason: "proxy_failed" }],
};

/**
 * A step's proxy in a thread of its own: only a thread can be in a network namespace that the daemon is not in, and a step that
 * keeps its proxy busy keeps nothing else busy.
 */
export class ProxyThread {
  readonly port: number;
  readonly #worker: Worker;
  readonly #report = Promise.withResolvers<ProxyReport>();

  private constructor(worker: Worker, options: { readonly port: number; readonly reporter: ErrorReporter }) {
    this.port = options.port;
    this.#worker = worker;
    worker.on("message", (message: MessageFromThread) => {
      if (message.kind === "report") this.#report.resolve(message.report);
    });
    // The step's further requests fail, and what it fetched before is not known.
    worker.on("error", (error: unknown) => options.reporter.report(error, "the proxy of a step"));
    worker.on("exit", () => this.#report.resolve(lost));
  }

  /** @throws {BuildError} `failed_precondition`, for namespaces that cannot be entered. */
  static async start(
    data: ProxyThreadData,
    options: { readonly hooks: ProxyHooks; readonly reporter: ErrorReporter },
  ): Promise<ProxyThread> {
    const worker = startWorker(new URL("./proxy.worker.ts", import.meta.url).href, {
      workerData: data,
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
    });
    worker.on("message", (message: MessageFromThread) => {
      if (message.kind === "question") answer(worker, message, options.hooks).catch(() => undefined);
    });
    try {
      const [message] = (await once(worker, "message")) as [MessageFromThread];
      if (message.kind !== "listening") throw new TypeError(`The proxy began with a ${message.kind}`);
      return new ProxyThread(worker, { port: message.port, reporter: options.reporter });
    } catch (error) {
      await worker.terminate();
      const { message } = BuildError.from(error);
      throw new BuildError("failed_precondition", `Cannot start the proxy of a step: ${message}`, { cause: error });
    }
  }

  /** Ends the proxy, when what it was asked has been answered. */
  async stop(): Promise<ProxyReport> {
    this.#worker.postMessage({ kind: "stop" } satisfies MessageToThread);
    const timer = setTimeout(() => this.#report.resolve(lost), stopMs);
    const report = await this.#report.promise;
    clearTimeout(timer);
    await this.#worker.terminate();
    return report;
  }
}

async function answer(
  worker: Worker,
  { id, question }: MessageFromThread & { readonly kind: "question" },
  hooks: ProxyHooks,
): Promise<void> {
  const send = (message: MessageToThread): void => worker.postMessage(message);
  try {
    const value = question.kind === "check" ? await hooks.check(question) : await hooks.identify(question.host);
    send({ kind: "answer", id, answer: value });
  } catch {
    // Why, is for the build's client and not for the step.
    send({ kind: "refusal", id });
  }
}
