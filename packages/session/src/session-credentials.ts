import { BuildError } from "@buildkit-ts/errdefs";
import { type RegistryCredentials, SessionRegistryAuth, type TokenRequest } from "./registry-auth.ts";
import type { SessionManager } from "./session.ts";

const fetchTokenMethod = "/moby.filesync.v1.Auth/FetchToken";

/** On behalf of which clients a registry is asked. */
export interface SessionCredentialsOptions {
  readonly sessions: SessionManager;
  /** The most useful first; asked anew for each use, since builds come and go. */
  readonly ids: () => readonly string[];
}

/**
 * Secrets for registries from the clients of a build. Has the form of the registry package's `CredentialSource`.
 *
 * The first client that knows something is taken; those that went, or serve no credentials, are passed over.
 */
export class SessionCredentials {
  /** Tokens are shared by those who ask in the name of the same sessions. */
  readonly id: string;
  readonly #options: SessionCredentialsOptions;

  constructor(options: SessionCredentialsOptions) {
    this.id = options.ids().toSorted().join(":");
    this.#options = options;
  }

  async credentials(host: string, options: { readonly signal: AbortSignal }): Promise<RegistryCredentials | undefined> {
    return await this.#first(options, async (auth) => await auth.findCredentials(host, options));
  }

  /** Undefined: no client fetches tokens itself. */
  async fetchToken(
    request: TokenRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<{ readonly token: string; readonly expiresInSeconds: number; readonly issuedAt?: number } | undefined> {
    return await this.#first(options, async (auth, fetchesTokens) => {
      // A client without a key for the host would fetch with its password each time: then the password is asked for.
      if (!fetchesTokens || (await auth.findTokenAuthority(request.host, options)) === undefined) return undefined;
      const { token, expiresInSeconds, issuedAt } = await auth.fetchToken(request, options);
      return { token, expiresInSeconds, ...(issuedAt > 0 && { issuedAt: issuedAt * 1000 }) };
    });
  }

  async #first<T>(
    options: { readonly signal: AbortSignal },
    ask: (auth: SessionRegistryAuth, fetchesTokens: boolean) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    for (const id of this.#options.ids()) {
      try {
        const caller = await this.#options.sessions.get(id, options);
        const answer = await ask(new SessionRegistryAuth(caller), caller.supports(fetchTokenMethod));
        if (answer !== undefined) return answer;
      } catch (error) {
        options.signal.throwIfAborted();
        const isGone = error instanceof BuildError && (error.code === "not_found" || error.code === "unavailable");
        if (!isGone) throw error;
      }
    }
    return undefined;
  }
}
