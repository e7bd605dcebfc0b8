import { BuildError } from "./build-error.ts";

/** A wrapper that says more about a failure and changes neither its code nor its text. */
class Annotation extends BuildError {
  constructor(cause: unknown) {
    const { code, message, hint } = BuildError.from(cause);
    super(code, message, { cause, ...(hint !== undefined && { hint }) });
  }
}

/** Ids of the results that a step worked with; empty texts stand for none. */
export interface StepResults {
  /** Those it was given. */
  readonly inputs: readonly string[];
  /** What it left: by mount for a process, by action for file actions. */
  readonly mounts: readonly string[];
}

/** A step that failed while it worked, with what it left behind. The ids mean something to the builds that waited for it. */
export class ExecError extends Annotation implements StepResults {
  override readonly name: string = "ExecError";
  readonly inputs: readonly string[];
  readonly mounts: readonly string[];

  constructor(cause: unknown, { inputs, mounts }: StepResults) {
    super(cause);
    this.inputs = inputs;
    this.mounts = mounts;
  }
}

/** Says which of a step's file actions failed. */
export class FileActionError extends Annotation {
  override readonly name: string = "FileActionError";
  readonly index: number;

  constructor(cause: unknown, index: number) {
    super(cause);
    this.index = index;
  }
}

/** An input of which no content key could be made. */
export class InputKeyError extends Annotation {
  override readonly name: string = "InputKeyError";
  /** Which of the step's inputs. */
  readonly index: number;
  /** Id of the input's result. */
  readonly result: string;

  constructor(cause: unknown, input: { readonly index: number; readonly result: string }) {
    super(cause);
    this.index = input.index;
    this.result = input.result;
  }
}

/** What a failed solve was about, so that a client can make a container of it and look around. */
export interface SolveFailure {
  /** The failed op, as `pb.Op` in bytes. */
  readonly op: Uint8Array | undefined;
  readonly description: Readonly<Record<string, string>>;
  readonly inputs: readonly string[];
  readonly mounts: readonly string[];
  /** The file action, or the input whose content key could not be made. */
  readonly subject: { readonly kind: "file" | "cache"; readonly index: number } | undefined;
}

/** A failed solve with all that is known of the failed step: `errdefs.Solve` on the wire. */
export class SolveError extends Annotation {
  override readonly name: string = "SolveError";
  readonly failure: SolveFailure;

  constructor(cause: unknown, failure: SolveFailure) {
    super(cause);
    this.failure = failure;
  }
}

/** A failure of a frontend, by its name, and by its image where it has one. */
export class FrontendError extends Annotation {
  override readonly name: string = "FrontendError";
  readonly frontend: string;
  readonly source: string;

  constructor(cause: unknown, { frontend, source }: { readonly frontend: string; readonly source: string }) {
    super(cause);
    this.frontend = frontend;
    this.source = source;
  }
}

/** A failure of which somebody else said more than is known here: passed on as it came. */
export class ForeignDetailError extends Annotation {
  override readonly name: string = "ForeignDetailError";
  /** Name of the detail's type, as a `google.protobuf.Any` has it. */
  readonly typeUrl: string;
  readonly value: Uint8Array;

  constructor(cause: unknown, detail: { readonly typeUrl: string; readonly value: Uint8Array }) {
    super(cause);
    this.typeUrl = detail.typeUrl;
    this.value = detail.value;
  }
}
