import { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { formatGoJson } from "@buildkit-ts/gotext";
import { type Definition, parseDefinition } from "@buildkit-ts/llb";
import { digestOf } from "@buildkit-ts/oci";
import type { CacheMapAnswer, Op, OpContext, Result, Vertex } from "@buildkit-ts/solver";
import { hasErrno, RootedDirectory } from "@buildkit-ts/sys";
import { invalid } from "../definition/validate-op.ts";
import { describeJson } from "../describe-json.ts";
import { goJson, goObject } from "../go-json.ts";
import { MountedTree } from "../mounts/mounted-tree.ts";
import { refOfResult } from "../worker-result.ts";

/** Solves a definition that an op's result holds, within the builds that wait for it. The result is the caller's. */
export type NestedSolve = (definition: Definition, context: OpContext) => Promise<Result>;

/** The input that holds the definition, and the file it is in. */
const definitionInput = "buildkit.llb.definition";
const defaultFile = "buildkit.llb.definition";
const fileAttribute = "llbbuild.filename";
const llbBuilder = -1n;
const maxDefinitionBytes = 64 << 20;

/** What {@linkcode BuildOperation} works with. */
export interface BuildOperationDeps {
  readonly temporaryDirectory: string;
  readonly solveNested: NestedSolve | undefined;
}

/** Builds what a file among the inputs describes. */
export class BuildOperation implements Op {
  readonly isComputed = true;
  readonly #vertex: Vertex;
  readonly #op: opspb.BuildOp;
  readonly #deps: BuildOperationDeps;

  constructor(vertex: Vertex, op: opspb.BuildOp, deps: BuildOperationDeps) {
    this.#vertex = vertex;
    this.#op = op;
    this.#deps = deps;
  }

  cacheMap(): CacheMapAnswer {
    const text = goObject([
      ["Type", formatGoJson("buildkit.build.v0")],
      ["Exec", goJson(opspb.BuildOpSchema, this.#op)],
    ]);
    const deps = this.#vertex.inputs.map(() => ({}));
    return { cacheMap: { digest: digestOf(text), deps, describe: () => describeJson("build", text) }, done: true };
  }

  async exec(inputs: readonly Result[], context: OpContext): Promise<Result[]> {
    if (this.#op.builder !== llbBuilder) throw invalid("only LLB builder is currently allowed");
    const { solveNested } = this.#deps;
    if (solveNested === undefined) {
      throw new BuildError("unimplemented", "Cannot run a nested build: this worker has no solver for it");
    }
    const input = this.#op.inputs[definitionInput];
    if (input === undefined) throw invalid(`no llb definition input ${definitionInput} found`);
    const result = inputs[Number(input.input)];
    if (result === undefined) throw invalid(`invalid index ${input.input}`);
    return [await solveNested(await this.#readDefinition(result, context), context)];
  }

  async #readDefinition(result: Result, context: OpContext): Promise<Definition> {
    const file = this.#op.attrs[fileAttribute] ?? defaultFile;
    const ref = refOfResult(result);
    if (ref === undefined) throw new BuildError("not_found", `failed to open ${file}: no such file or directory`);
    await using tree = await MountedTree.view(ref, this.#deps.temporaryDirectory, context);
    using root = RootedDirectory.open(tree.path);
    return parseDefinition(readDefinition(root, file));
  }
}

function readDefinition(root: RootedDirectory, file: string): Buffer {
  try {
    return root.readFile(file, { maxBytes: maxDefinitionBytes });
  } catch (error) {
    const { message } = BuildError.from(error);
    const isMissing = hasErrno(error, "ENOENT", "ENOTDIR");
    const reason = isMissing ? "no such file or directory" : message;
    const code = isMissing ? "not_found" : "invalid_argument";
    throw new BuildError(code, `failed to open ${file}: ${reason}`, { cause: error });
  }
}
