import type { opspb } from "@buildkit-ts/api";
import {
  BuildError,
  ExecError,
  FileActionError,
  InputKeyError,
  SolveError,
  type SolveFailure,
  VertexError,
} from "@buildkit-ts/errdefs";
import { digestOf } from "@buildkit-ts/oci";
import { errorChain } from "@buildkit-ts/session/rpc";
import type { BuildEngine } from "../engine.ts";
import type { KeptResults } from "./kept-results.ts";

/**
 * Adds to a failed step's error what a client needs to look into it: the op, and the ids of what it was given and left.
 *
 * Those results are kept with the build from here on. Failures that are no step's come back as they are.
 */
export async function describeFailure(
  error: unknown,
  options: {
    readonly definition: opspb.Definition;
    /** The digests that ops of the definition got, by those that they have in it; for those that got others. */
    readonly renamed: ReadonlyMap<string, string>;
    readonly kept: KeptResults;
    readonly engine: Pick<BuildEngine, "loadResult">;
  },
): Promise<unknown> {
  const chain = errorChain(error);
  const vertex = chain.find((link) => link instanceof VertexError);
  if (vertex === undefined || BuildError.from(error).code === "canceled") return error;
  const step = chain.find((link) => link instanceof ExecError);
  const action = chain.find((link) => link instanceof FileActionError);
  const input = chain.find((link) => link instanceof InputKeyError);
  const keep = async (id: string): Promise<string> => await keepResult(id, options);
  return new SolveError(error, {
    ...opOf(options.definition, originalOf(vertex.vertex, options.renamed)),
    inputs: await Promise.all((input === undefined ? (step?.inputs ?? []) : [input.result]).map(keep)),
    mounts: await Promise.all((step?.mounts ?? []).map(keep)),
    subject: subjectOf(action, input),
  });
}

function subjectOf(
  action: FileActionError | undefined,
  input: InputKeyError | undefined,
): SolveFailure["subject"] | undefined {
  if (input !== undefined) return { kind: "cache", index: input.index };
  return action === undefined ? undefined : { kind: "file", index: action.index };
}

function originalOf(vertex: string, renamed: ReadonlyMap<string, string>): string {
  return renamed.entries().find(([, name]) => name === vertex)?.[0] ?? vertex;
}

function opOf(definition: opspb.Definition, vertex: string): Pick<SolveFailure, "op" | "description"> {
  const description = definition.metadata[vertex]?.description ?? {};
  return { op: definition.def.find((bytes) => digestOf(bytes) === vertex), description };
}

/** A result that is gone by now has no id. */
async function keepResult(
  id: string,
  { kept, engine }: { readonly kept: KeptResults; readonly engine: Pick<BuildEngine, "loadResult"> },
): Promise<string> {
  if (id === "" || kept.find(id) !== undefined) return id;
  try {
    await kept.keep(await engine.loadResult(id));
    return id;
  } catch (error) {
    if (BuildError.from(error).code === "not_found") return "";
    throw error;
  }
}
