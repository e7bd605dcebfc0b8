import { randomBytes } from "node:crypto";
import { opspb } from "@buildkit-ts/api";
import type { ExecMessage, ExecMessageSchema, ExitMessage } from "@buildkit-ts/api/buildkit/gateway";
import { BuildError } from "@buildkit-ts/errdefs";
import { type DuplexCall, errorFromStatus } from "@buildkit-ts/session/rpc";

type Call = DuplexCall<typeof ExecMessageSchema, typeof ExecMessageSchema>;

/** How to start a process in a container. */
export interface ProcessRequest {
  readonly args: readonly string[];
  /** `NAME=value` each. */
  readonly env?: readonly string[];
  /** Default `/`. */
  readonly cwd?: string;
  readonly user?: string;
  readonly tty?: boolean;
  readonly security?: "sandbox" | "insecure";
  /** What the process reads; nothing if undefined. */
  readonly stdin?: Uint8Array | AsyncIterable<Uint8Array>;
  /** Told what the process writes. Output that nobody asks for is not sent at all. */
  readonly onStdout?: (bytes: Uint8Array) => void;
  readonly onStderr?: (bytes: Uint8Array) => void;
}

/** The exit code of a process whose end nobody saw. */
const unknownExitCode = 255;
const input = 0;
const outputs = { stdout: 1, stderr: 2 } as const;

/** Starts a process and resolves when it runs. Disposing of it kills it. */
export async function startProcess(
  call: Call,
  containerId: string,
  request: ProcessRequest,
): Promise<ContainerProcess> {
  const id = `${containerId}:${randomBytes(16).toString("hex")}`;
  await call.send({ ProcessID: id, Input: { case: "Init", value: initMessage(containerId, request) } });
  const messages = call.messages();
  const first = await messages.next();
  if (first.done === true || first.value.Input.case !== "Started") {
    call[Symbol.dispose]();
    throw new BuildError("internal", "Cannot start process: the daemon did not say that it runs");
  }
  return new ContainerProcess(call, id, { messages, request });
}

function initMessage(containerId: string, request: ProcessRequest): object {
  const { stdin, onStdout, onStderr } = request;
  return {
    ContainerID: containerId,
    Meta: {
      args: [...request.args],
      env: [...(request.env ?? [])],
      cwd: request.cwd ?? "/",
      user: request.user ?? "",
    },
    Fds: [
      ...(stdin === undefined ? [] : [input]),
      ...(onStdout === undefined ? [] : [outputs.stdout]),
      ...(onStderr === undefined ? [] : [outputs.stderr]),
    ],
    Tty: request.tty ?? false,
    Security: request.security === "insecure" ? opspb.SecurityMode.INSECURE : opspb.SecurityMode.SANDBOX,
  };
}

/** A process that runs in a container. */
export class ContainerProcess implements AsyncDisposable {
  /** Rejects if the process could not be run to its end. */
  readonly exitCode: Promise<number>;
  readonly #call: Call;
  readonly #id: string;

  constructor(
    call: Call,
    id: string,
    options: { readonly messages: AsyncGenerator<ExecMessage>; readonly request: ProcessRequest },
  ) {
    this.#call = call;
    this.#id = id;
    this.exitCode = this.#follow(options.messages, options.request);
    // Whoever does not wait for the end need not hear of a failure.
    this.exitCode.catch(() => undefined);
    if (options.request.stdin !== undefined) {
      // The process may end without having read everything: its own end is what counts.
      this.#feed(options.request.stdin).catch(() => undefined);
    }
  }

  /** Sends a signal by its name, such as `SIGTERM`. */
  async signal(name: string): Promise<void> {
    await this.#call.send({ ProcessID: this.#id, Input: { case: "Signal", value: { Name: name } } });
  }

  /** Tells the size of the terminal. */
  async resize(size: { readonly rows: number; readonly columns: number }): Promise<void> {
    const value = { Rows: size.rows, Cols: size.columns };
    await this.#call.send({ ProcessID: this.#id, Input: { case: "Resize", value } });
  }

  async #feed(stdin: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    const chunks = stdin instanceof Uint8Array ? [stdin] : stdin;
    for await (const chunk of chunks) await this.#file({ Fd: input, Data: chunk });
    await this.#file({ Fd: input, EOF: true });
  }

  async #file(value: { readonly Fd: number; readonly EOF?: boolean; readonly Data?: Uint8Array }): Promise<void> {
    await this.#call.send({ ProcessID: this.#id, Input: { case: "File", value } });
  }

  async #follow(messages: AsyncGenerator<ExecMessage>, request: ProcessRequest): Promise<number> {
    let exit: ExitMessage | undefined;
    for await (const { Input } of messages) {
      if (Input.case === "File" && Input.value.Data.length > 0) {
        if (Input.value.Fd === outputs.stdout) request.onStdout?.(Input.value.Data);
        if (Input.value.Fd === outputs.stderr) request.onStderr?.(Input.value.Data);
      } else if (Input.case === "Exit") exit = Input.value;
      // Output may still follow the exit; this is what ends it.
      else if (Input.case === "Done") break;
    }
    if (exit === undefined)
      throw new BuildError("unavailable", "Cannot tell exit code: the process's stream has ended");
    if (exit.Code === unknownExitCode && exit.Error !== undefined) throw errorFromStatus(exit.Error);
    return exit.Code;
  }

  /** Ends the stream, which kills the process if it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#call[Symbol.dispose]();
    await this.exitCode.catch(() => undefined);
  }
}
