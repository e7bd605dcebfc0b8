import type { Stat } from "@buildkit-ts/api/fsutil/stat";
import { type Definition, type State, stateFromDefinition } from "@buildkit-ts/llb";
import type { GatewayClient } from "./gateway-client.ts";

/** A solved tree. It is built when somebody first looks into it, or when the build's result is exported. */
export class Reference {
  readonly id: string;
  /** The graph that gives the tree; undefined where the daemon does not tell. */
  readonly definition: Definition | undefined;
  readonly #gateway: GatewayClient;

  constructor(gateway: GatewayClient, id: string, definition: Definition | undefined) {
    this.#gateway = gateway;
    this.id = id;
    this.definition = definition;
  }

  /** A file's content, or `length` bytes of it from `offset`. @throws {BuildError} as the daemon does, if it is not there. */
  async readFile(
    path: string,
    options: { readonly signal: AbortSignal; readonly offset?: number; readonly length?: number },
  ): Promise<Uint8Array> {
    const { offset, length } = options;
    return await this.#gateway.readFile(
      { ref: this.id, path, ...(offset !== undefined && { offset }), ...(length !== undefined && { length }) },
      options,
    );
  }

  /** A directory's entries; `pattern` selects among their names. */
  async readDirectory(
    path: string,
    options: { readonly signal: AbortSignal; readonly pattern?: string },
  ): Promise<readonly Stat[]> {
    const request = { ref: this.id, path, ...(options.pattern !== undefined && { includePattern: options.pattern }) };
    return await this.#gateway.readDirectory(request, options);
  }

  async stat(path: string, options: { readonly signal: AbortSignal }): Promise<Stat | undefined> {
    return await this.#gateway.stat({ ref: this.id, path }, options);
  }

  /** Makes sure that it is built. */
  async evaluate(options: { readonly signal: AbortSignal }): Promise<void> {
    await this.#gateway.evaluate(this.id, options);
  }

  /** The tree as a state, to build further upon it. Scratch, if its graph is unknown. */
  toState(): State {
    return stateFromDefinition(this.definition ?? { def: [], metadata: new Map(), source: undefined });
  }
}
