/** A user's secret for a registry. With an empty `username` the secret is an identity (refresh) token. */
export interface Credentials {
  readonly username: string;
  readonly secret: string;
}

/** What a registry's token server shall be asked for. */
export interface TokenRequest {
  readonly host: string;
  readonly realm: string;
  readonly service: string;
  /** Such as `repository:library/busybox:pull`. */
  readonly scopes: readonly string[];
}

export interface Token {
  readonly token: string;
  /** 0 or absent: 60 seconds. */
  readonly expiresInSeconds?: number;
  /** Milliseconds since the epoch; absent: now. */
  readonly issuedAt?: number;
}

/**
 * Where secrets for registries come from, such as the sessions of a build. Asked only once a registry wants them.
 *
 * Nothing of it is kept but tokens, under its `id`.
 */
export interface CredentialSource {
  /** Sources with different ids never use each other's tokens. */
  readonly id: string;
  /** Undefined: anonymous. */
  credentials(host: string, options: { readonly signal: AbortSignal }): Promise<Credentials | undefined>;
  /** Lets the source get a token itself, so that its secret never leaves it. Undefined: it leaves that to the client. */
  fetchToken?(request: TokenRequest, options: { readonly signal: AbortSignal }): Promise<Token | undefined>;
}

/** No credentials. */
export const anonymousCredentials: CredentialSource = {
  id: "",
  credentials: () => Promise.resolve(undefined),
};
