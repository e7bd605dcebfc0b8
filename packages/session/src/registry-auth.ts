import { createPublicKey, randomBytes, timingSafeEqual, verify } from "node:crypto";
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Auth } from "@buildkit-ts/api/buildkit/auth";
import { BuildError, type Code } from "@buildkit-ts/errdefs";
import type { SessionCaller } from "./session.ts";
import { callUnary } from "./wire/rpc-client.ts";

/** How long a client may take to answer: a credential helper may ask its user. */
const authTimeoutMs = 60_000;

/** Differs in each daemon process, so that a client's keys cannot be kept. */
const salt = randomBytes(32);

/** The fixed beginning of an Ed25519 public key in DER. */
const publicKeyPrefix = Buffer.from("302a300506032b6570032100", "hex");
const signatureBytes = 64;

/** User name and password, or an identity token as the secret of no user. */
export interface RegistryCredentials {
  readonly username: string;
  readonly secret: string;
}

/** A token that a client fetched. */
export interface RegistryToken {
  readonly token: string;
  readonly expiresInSeconds: number;
  /** Seconds since the epoch; 0 for unknown. */
  readonly issuedAt: number;
}

/** What a token is asked for. */
export interface TokenRequest {
  readonly host: string;
  readonly realm: string;
  readonly service: string;
  readonly scopes: readonly string[];
}

/** What one client says about access to registries. Secrets are never to be logged or stored. */
export class SessionRegistryAuth {
  readonly #caller: SessionCaller;

  constructor(caller: SessionCaller) {
    this.#caller = caller;
  }

  /** Undefined if the client knows none, or does not tell. */
  async findCredentials(
    host: string,
    options: { readonly signal: AbortSignal },
  ): Promise<RegistryCredentials | undefined> {
    const answer = await this.#tryCall({ method: Auth.method.credentials, request: { Host: host } }, options);
    if (answer === undefined || (answer.Username === "" && answer.Secret === "")) return undefined;
    return { username: answer.Username, secret: answer.Secret };
  }

  /** @throws {BuildError} `unimplemented`, if the client fetches no tokens: then ask for credentials. */
  async fetchToken(request: TokenRequest, options: { readonly signal: AbortSignal }): Promise<RegistryToken> {
    const { host, realm, service, scopes } = request;
    const message = { ClientID: "buildkit-client", Host: host, Realm: realm, Service: service, Scopes: [...scopes] };
    const answer = await this.#call({ method: Auth.method.fetchToken, request: message }, options);
    return {
      token: answer.Token,
      expiresInSeconds: Number(answer.ExpiresIn),
      issuedAt: Number(answer.IssuedAt),
    };
  }

  /** The key that stands for the client's credentials of a host; undefined if the client has none. */
  async findTokenAuthority(host: string, options: { readonly signal: AbortSignal }): Promise<Uint8Array | undefined> {
    const call = { method: Auth.method.getTokenAuthority, request: { Host: host, Salt: salt } };
    const answer = await this.#tryCall(call, options);
    if (answer === undefined) return undefined;
    if (answer.PublicKey.length !== 32) {
      throw new BuildError("invalid_argument", `invalid pubkey length ${answer.PublicKey.length}`);
    }
    return answer.PublicKey;
  }

  /** Whether the client can sign with that key, and so may use a token that was fetched for it. */
  async verifyTokenAuthority(
    host: string,
    publicKey: Uint8Array,
    options: { readonly signal: AbortSignal },
  ): Promise<boolean> {
    const payload = randomBytes(32);
    const request = { Host: host, Salt: salt, Payload: payload };
    const answer = await this.#tryCall({ method: Auth.method.verifyTokenAuthority, request }, options);
    // NaCl's `sign`: the signature, followed by what was signed.
    if (answer === undefined || answer.Signed.length !== signatureBytes + payload.length) return false;
    if (!timingSafeEqual(answer.Signed.subarray(signatureBytes), payload)) return false;
    const der = Buffer.concat([publicKeyPrefix, publicKey]);
    const key = createPublicKey({ key: der, format: "der", type: "spki" });
    return verify(null, payload, key, answer.Signed.subarray(0, signatureBytes));
  }

  async #tryCall<I extends DescMessage, O extends DescMessage>(
    call: { readonly method: DescMethod & { input: I; output: O }; readonly request: MessageInitShape<I> },
    options: { readonly signal: AbortSignal },
  ): Promise<MessageShape<O> | undefined> {
    try {
      return await this.#call(call, options);
    } catch (error) {
      const absent: readonly Code[] = ["unimplemented", "unavailable"];
      const isAbsent = error instanceof BuildError && absent.includes(error.code) && !this.#caller.closed.aborted;
      if (isAbsent) return undefined;
      throw error;
    }
  }

  async #call<I extends DescMessage, O extends DescMessage>(
    call: { readonly method: DescMethod & { input: I; output: O }; readonly request: MessageInitShape<I> },
    options: { readonly signal: AbortSignal },
  ): Promise<MessageShape<O>> {
    const signal = AbortSignal.any([options.signal, this.#caller.closed, AbortSignal.timeout(authTimeoutMs)]);
    return await callUnary(this.#caller.http2, call, { signal });
  }
}
