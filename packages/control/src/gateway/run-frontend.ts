import { opspb } from "@buildkit-ts/api";
import type { Clock } from "@buildkit-ts/async";
import { BuildError, type BuildErrorOptions } from "@buildkit-ts/errdefs";
import type { StepContainer } from "@buildkit-ts/worker";
import type { BridgeResult } from "../bridge/bridge-ref.ts";
import type { FrontendRun } from "../bridge/frontend-run.ts";
import { FrontendConnection } from "./frontend-connection.ts";
import { serveFrontend } from "./frontend-server.ts";
import { OutputTail } from "./output-tail.ts";

/** How long a frontend may take to say its first word. */
const speakTimeoutMs = 60_000;
/** How long a frontend may go on after it has returned its result. */
const exitTimeoutMs = 10_000;

/** A frontend that is ready to run. */
export interface ReadyFrontend {
  readonly run: FrontendRun;
  readonly container: Pick<StepContainer, "start">;
  readonly process: opspb.Meta;
  /** Named in errors. */
  readonly source: string;
}

/**
 * Runs a frontend until its process has ended, and gives what it returned.
 *
 * An error that it returned counts first, then how its process ended, then its result.
 */
export async function runFrontend(
  frontend: ReadyFrontend,
  options: { readonly signal: AbortSignal; readonly clock: Clock; readonly log: (line: string) => void },
): Promise<BridgeResult> {
  const { run } = frontend;
  const failure = await runProcess(frontend, options);
  options.signal.throwIfAborted();
  const { outcome } = run;
  if (outcome instanceof Error) throw outcome;
  if (failure !== undefined) throw failure;
  if (outcome !== undefined) return outcome;
  throw unusable(frontend.source, "it ended without a result", { hint: "the image may be none of a frontend" });
}

function unusable(source: string, why: string, options: BuildErrorOptions = {}): BuildError {
  return new BuildError("unknown", `Cannot use frontend "${source}": ${why}`, options);
}

/** Gives what went wrong with the process, if anything did. */
async function runProcess(
  { run, container, process, source }: ReadyFrontend,
  options: { readonly signal: AbortSignal; readonly clock: Clock; readonly log: (line: string) => void },
): Promise<BuildError | undefined> {
  const connection = new FrontendConnection();
  const stderr = new OutputTail(options.log);
  const killed = new AbortController();
  const kill = (text: string, cause?: unknown): void => killed.abort(unusable(source, text, { cause }));
  using _server = serveFrontend(run, connection, {
    onBroken: (error) => kill("it does not speak HTTP/2 on its standard output", error),
  });
  const signal = AbortSignal.any([options.signal, killed.signal]);
  using _limits = watchLimits({ run, connection, kill }, options.clock);
  try {
    const streams = {
      stdin: connection.stdin,
      onOutput: (stream: 1 | 2, data: Uint8Array): void | Promise<void> =>
        stream === 1 ? connection.receive(data) : stderr.write(data),
    };
    const { ended } = await container.start(containerProcess(process), streams, { signal });
    await ended;
    return undefined;
  } catch (error) {
    // After its result nobody waits for more: a frontend that had to be killed then has done its work.
    if (killed.signal.aborted && run.outcome !== undefined) return undefined;
    return withOutput(killed.signal.aborted ? (killed.signal.reason as BuildError) : failed(source, error), stderr);
  }
}

/** The failure of the process, with its own code: a build that was given up is no fault of the frontend. */
function failed(source: string, error: unknown): BuildError {
  const { code, message } = BuildError.from(error);
  return new BuildError(code, unusable(source, message).message, { cause: error });
}

function containerProcess(meta: opspb.Meta): Parameters<StepContainer["start"]>[0] {
  return { meta, tty: false, security: opspb.SecurityMode.SANDBOX, secretEnv: [] };
}

function withOutput(error: BuildError, stderr: OutputTail): BuildError {
  const text = stderr.text();
  return text === "" ? error : new BuildError(error.code, error.message, { cause: error, hint: `it wrote: ${text}` });
}

/** Kills a frontend that never speaks, or that goes on after its result. */
function watchLimits(
  frontend: {
    readonly run: FrontendRun;
    readonly connection: FrontendConnection;
    readonly kill: (text: string) => void;
  },
  clock: Clock,
): Disposable {
  const { run, connection, kill } = frontend;
  const over = new AbortController();
  const { signal } = over;
  const watch = async (): Promise<void> => {
    await clock.sleep(speakTimeoutMs, { signal });
    if (!connection.hasSpoken) kill(`it has said nothing for ${speakTimeoutMs / 1000} s`);
  };
  const watchExit = async (): Promise<void> => {
    await run.result({ signal }).catch(() => undefined);
    await clock.sleep(exitTimeoutMs, { signal });
    kill("it does not end after its result");
  };
  // Both end with the frontend, by the signal.
  watch().catch(() => undefined);
  watchExit().catch(() => undefined);
  return { [Symbol.dispose]: () => over.abort(new DOMException("The frontend has ended", "AbortError")) };
}
