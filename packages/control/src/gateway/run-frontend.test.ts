import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { abortable, type Clock } from "@buildkit-ts/async";
import { ExitError } from "@buildkit-ts/errdefs";
import { emptyResult } from "../bridge/bridge-ref.ts";
import type { BuildBridge } from "../bridge/build-bridge.ts";
import { FrontendRun } from "../bridge/frontend-run.ts";
import { type ReadyFrontend, runFrontend } from "./run-frontend.ts";

/** Time that passes when the test says so. */
class ManualClock implements Clock {
  readonly #sleepers: { readonly ms: number; readonly wake: () => void }[] = [];

  now(): number {
    return 0;
  }

  async sleep(ms: number, options: { readonly signal: AbortSignal }): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#sleepers.push({ ms, wake: resolve });
    await abortable(promise, options.signal);
  }

  /** Lets everybody's time be over who waits no longer than this. */
  pass(ms: number): void {
    for (const { wake } of this.#sleepers.filter((sleeper) => sleeper.ms <= ms)) wake();
  }
}

type Script = (streams: Parameters<ReadyFrontend["container"]["start"]>[1], signal: AbortSignal) => Promise<void>;

/** A frontend whose process is a function. */
function frontend(run: FrontendRun, script: Script): ReadyFrontend {
  const start: ReadyFrontend["container"]["start"] = async (_process, streams, { signal }) => {
    return { ended: script(streams, signal) };
  };
  return { run, container: { start }, process: create(opspb.MetaSchema), source: "x" };
}

const untilKilled: Script = async (_streams, signal) => await abortable(new Promise<never>(() => undefined), signal);

suite("runFrontend()", () => {
  const bridge = {} as BuildBridge;
  const { signal } = new AbortController();
  const log = (): void => undefined;

  test("ends a frontend that says nothing for a minute", async () => {
    const clock = new ManualClock();
    await using run = new FrontendRun(bridge, {});
    const running = runFrontend(frontend(run, untilKilled), { signal, clock, log });
    await new Promise((resolve) => setImmediate(resolve));
    clock.pass(60_000);
    await assert.rejects(running, /Cannot use frontend "x": it has said nothing for 60 s/);
  });

  test("ends a frontend that goes on after its result, and takes the result", async () => {
    const clock = new ManualClock();
    await using run = new FrontendRun(bridge, {});
    const running = runFrontend(frontend(run, untilKilled), { signal, clock, log });
    run.return(emptyResult);
    await new Promise((resolve) => setImmediate(resolve));
    clock.pass(10_000);
    assert.equal(await running, emptyResult);
  });

  test("prefers the error that was returned to the exit code, and the exit code to a result", async () => {
    const clock = new ManualClock();
    const exits: Script = async () => {
      throw new ExitError(3, "exit code: 3");
    };
    await using refusing = new FrontendRun(bridge, {});
    refusing.return(new Error("I will not"));
    await assert.rejects(runFrontend(frontend(refusing, exits), { signal, clock, log }), /I will not/);
    await using returning = new FrontendRun(bridge, {});
    returning.return(emptyResult);
    await assert.rejects(
      runFrontend(frontend(returning, exits), { signal, clock, log }),
      /Cannot use frontend "x": exit code: 3/,
    );
  });

  test("tells what a frontend wrote before it failed, and logs its lines", async () => {
    const lines: string[] = [];
    await using run = new FrontendRun(bridge, {});
    const complains: Script = async (streams) => {
      await streams.onOutput(2, Buffer.from("cannot find\nmy feet\n"));
      throw new ExitError(1, "exit code: 1");
    };
    const options = { signal, clock: new ManualClock(), log: (line: string) => void lines.push(line) };
    await assert.rejects(runFrontend(frontend(run, complains), options), {
      message: 'Cannot use frontend "x": exit code: 1',
      hint: "it wrote: cannot find\nmy feet",
    });
    assert.deepEqual(lines, ["cannot find", "my feet"]);
  });

  test("ends with the build, whose own reason counts", async () => {
    const abort = new AbortController();
    await using run = new FrontendRun(bridge, {});
    const options = { signal: abort.signal, clock: new ManualClock(), log };
    const running = runFrontend(frontend(run, untilKilled), options);
    abort.abort(new Error("the client has gone"));
    await assert.rejects(running, /the client has gone/);
  });
});
