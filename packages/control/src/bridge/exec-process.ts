import { constants } from "node:os";
import { create } from "@bufbuild/protobuf";
import { gatewaypb, opspb } from "@buildkit-ts/api";
import { Channel } from "@buildkit-ts/async";
import { BuildError, ExitError } from "@buildkit-ts/errdefs";
import { statusFromError } from "../wire/status-from-error.ts";
import type { FrontendContainers } from "./frontend-containers.ts";

type Message = gatewaypb.ExecMessage;
type Input = Message["Input"];

/** Output that waits for a slow client, of all processes of one call together. */
const maxOutputBytes = 1 << 20;
/** Input that waits for a slow process; more holds up all messages behind it. */
const maxInputBytes = 1 << 20;
const maxProcesses = 1000;
/** What clients are told where no exit code is known. */
const unknownExitStatus = 255;

/**
 * `ExecProcess`: any number of processes in a frontend's containers, over one stream.
 *
 *     Init ──▶ Started ──▶ File… (both ways), Resize, Signal ──▶ File EOF of each output ──▶ Exit ──▶ Done
 *
 * A process that cannot be started has the same end, so that one bad request does not end the others. The end of the stream
 * kills all its processes.
 */
export async function* execProcess(
  containers: FrontendContainers,
  requests: AsyncIterable<Message>,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<Message, void, void> {
  const ended = new AbortController();
  const signal = AbortSignal.any([ended.signal, options.signal]);
  const calls = new ProcessCalls(containers, signal);
  const reading = calls.read(requests);
  try {
    yield* calls.answers;
    await reading;
  } finally {
    ended.abort(new BuildError("canceled", "context canceled"));
    await calls.settled();
  }
}

class ProcessCalls {
  readonly answers = new Channel<Message>({
    limit: maxOutputBytes,
    weigh: ({ Input }) => 100 + (Input.case === "File" ? Input.value.Data.length : 0),
  });
  readonly #containers: FrontendContainers;
  readonly #signal: AbortSignal;
  readonly #processes = new Map<string, StreamedProcess>();
  readonly #running = new Set<Promise<void>>();

  constructor(containers: FrontendContainers, signal: AbortSignal) {
    this.#containers = containers;
    this.#signal = signal;
    const close = (): void => this.answers.close();
    if (signal.aborted) close();
    else signal.addEventListener("abort", close, { once: true });
  }

  /** Takes the client's messages until there are no more; the answers end when all processes have. */
  async read(requests: AsyncIterable<Message>): Promise<void> {
    try {
      for await (const message of requests) await this.#take(message);
      for (const process of this.#processes.values()) process.closeInput();
      while (this.#running.size > 0) await Promise.all(this.#running);
      this.answers.close();
    } catch (error) {
      this.answers.close({ error });
    }
  }

  async settled(): Promise<void> {
    for (const process of this.#processes.values()) process.closeInput();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #take({ ProcessID: id, Input: input }: Message): Promise<void> {
    if (id === "") throw new BuildError("invalid_argument", "ProcessID required");
    const process = this.#processes.get(id);
    if (input.case === "Init") {
      if (process !== undefined) throw new BuildError("already_exists", `Process ${id} already exists`);
      this.#start(id, input.value);
      return;
    }
    if (process === undefined) throw new BuildError("not_found", `IO for process "${id}" not found`);
    await process.take(input);
  }

  #start(id: string, init: gatewaypb.InitMessage): void {
    if (this.#processes.size >= maxProcesses) {
      throw new BuildError("resource_exhausted", `Cannot start process: this stream had ${maxProcesses} already`);
    }
    const send = async (input: Input): Promise<void> => {
      await this.answers.send(create(gatewaypb.ExecMessageSchema, { ProcessID: id, Input: input }));
    };
    const process = new StreamedProcess(init, send);
    this.#processes.set(id, process);
    const running = process.run(this.#containers, this.#signal).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}

/** One process of a stream. */
class StreamedProcess {
  readonly #init: gatewaypb.InitMessage;
  readonly #send: (input: Input) => Promise<void>;
  readonly #stdin = new Channel<Uint8Array>({ limit: maxInputBytes, weigh: (data) => data.length });
  readonly #sizes = new Channel<{ readonly rows: number; readonly columns: number }>({ limit: 100 });
  readonly #signals = new Channel<string>({ limit: 100 });

  constructor(init: gatewaypb.InitMessage, send: (input: Input) => Promise<void>) {
    this.#init = init;
    this.#send = send;
  }

  /** A message for this process; after its end there is nobody to tell. */
  async take(input: Input): Promise<void> {
    switch (input.case) {
      case "File":
        if (input.value.Fd !== 0 || !this.#init.Fds.includes(0)) {
          throw new BuildError("out_of_range", `fd ${input.value.Fd} unavailable to write`);
        }
        if (input.value.Data.length > 0) await this.#stdin.send(input.value.Data);
        if (input.value.EOF) this.#stdin.close();
        break;
      case "Resize":
        await this.#sizes.send({ rows: input.value.Rows, columns: input.value.Cols });
        break;
      case "Signal":
        await this.#signals.send(checkSignal(input.value.Name));
        break;
      case "Init":
      case "Started":
      case "Exit":
      case "Done":
      case undefined:
      default:
        throw new BuildError("invalid_argument", `Cannot read message of process: it is no ${input.case ?? "message"}`);
    }
  }

  closeInput(): void {
    this.#stdin.close();
    this.#sizes.close();
    this.#signals.close();
  }

  /** Never throws: the client is told of failures in the process's exit. */
  async run(containers: FrontendContainers, signal: AbortSignal): Promise<void> {
    const outputs = this.#init.Fds.filter((fd): fd is 1 | 2 => fd === 1 || fd === 2);
    let failure: unknown;
    try {
      await this.#run(containers, { outputs, signal });
    } catch (error) {
      failure = error;
    }
    this.closeInput();
    for (const fd of outputs) await this.#send({ case: "File", value: fdMessage(fd, { EOF: true }) });
    await this.#send({ case: "Exit", value: exitMessage(failure) });
    await this.#send({ case: "Done", value: create(gatewaypb.DoneMessageSchema) });
  }

  async #run(
    containers: FrontendContainers,
    { outputs, signal }: { readonly outputs: readonly (1 | 2)[]; readonly signal: AbortSignal },
  ): Promise<void> {
    const { ContainerID, Meta, Fds, Tty, Security, secretenv } = this.#init;
    // Output is held back until the client knows that the process has started.
    const started = Promise.withResolvers<void>();
    const streams = {
      ...(Fds.includes(0) && { stdin: this.#stdin }),
      resize: this.#sizes,
      signals: this.#signals,
      onOutput: async (fd: 1 | 2, data: Uint8Array): Promise<void> => {
        await started.promise;
        if (outputs.includes(fd)) await this.#send({ case: "File", value: fdMessage(fd, { Data: data }) });
      },
    };
    const process = {
      meta: Meta ?? create(opspb.MetaSchema),
      tty: Tty,
      security: Security,
      secretEnv: secretenv,
    };
    let ended: Promise<void> | undefined;
    try {
      const container = await containers.get(ContainerID);
      ({ ended } = await container.start(process, streams, { signal }));
    } finally {
      await this.#send({ case: "Started", value: create(gatewaypb.StartedMessageSchema) });
      started.resolve();
    }
    await ended;
  }
}

function fdMessage(Fd: number, rest: { readonly Data?: Uint8Array; readonly EOF?: boolean }): gatewaypb.FdMessage {
  return create(gatewaypb.FdMessageSchema, { Fd, ...rest });
}

function exitMessage(failure: unknown): gatewaypb.ExitMessage {
  if (failure === undefined) return create(gatewaypb.ExitMessageSchema, { Code: 0 });
  const Code = failure instanceof ExitError ? failure.exitCode : unknownExitStatus;
  return create(gatewaypb.ExitMessageSchema, { Code, Error: statusFromError(failure) });
}

/** @throws {BuildError} `invalid_argument`, for a name that no signal has. */
function checkSignal(name: string): string {
  const full = name.startsWith("SIG") ? name : `SIG${name}`;
  if (!Object.hasOwn(constants.signals, full)) {
    throw new BuildError("invalid_argument", `Unknown signal ${name.slice(0, 100)}`);
  }
  return full;
}
