import {
  finalizeSessionExport,
  findSessionExporters,
  type SessionCaller,
  type SessionExport,
  type SessionManager,
} from "@buildkit-ts/session";
import { type BridgeResult, treesOf } from "../bridge/bridge-ref.ts";
import type { BuildRequest } from "../build-request.ts";

/** How long a client may take to come up: builds and sessions begin side by side. */
const lookupTimeoutMs = 5000;

/** Exports that the client of a build asks for when it has seen the result, where the build's request says that it may. */
export class SessionExports {
  readonly #sessions: SessionManager;
  readonly #request: BuildRequest;

  constructor(sessions: SessionManager, request: BuildRequest) {
    this.#sessions = sessions;
    this.#request = request;
  }

  /** The client may look into the result's trees by the ids that it is told. */
  async find(result: BridgeResult, options: { readonly signal: AbortSignal }): Promise<readonly SessionExport[]> {
    if (!this.#isEnabled) return [];
    const seen = { metadata: Object.fromEntries(result.metadata), refs: treesOf(result).map(({ id }) => id) };
    return await findSessionExporters(await this.#caller(options.signal), seen, options);
  }

  /** Tells the client what all exports gave. */
  async finalize(response: Readonly<Record<string, string>>, options: { readonly signal: AbortSignal }): Promise<void> {
    if (this.#isEnabled) await finalizeSessionExport(await this.#caller(options.signal), response, options);
  }

  get #isEnabled(): boolean {
    return this.#request.message.EnableSessionExporter && this.#request.session !== "";
  }

  async #caller(signal: AbortSignal): Promise<SessionCaller> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(lookupTimeoutMs)]);
    return await this.#sessions.get(this.#request.session, { signal: limited });
  }
}
