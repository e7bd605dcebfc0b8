/** What a step's proxy was asked for, and what came of it. URLs hold no credentials. */
export interface ProxyReport {
  /** In the order in which they were answered. */
  readonly requests: readonly ProxiedRequest[];
  /** What was fetched completely. */
  readonly materials: readonly ProxyMaterial[];
  /** What may have brought in something that is not among the materials. */
  readonly incomplete: readonly IncompleteRequest[];
}

/** One request of a step. */
export interface ProxiedRequest {
  readonly method: string;
  readonly url: string;
  /** Of the answer that the step was given. */
  readonly status: number;
}

export interface ProxyMaterial {
  readonly url: string;
  /** Of the body, as it went over the network. */
  readonly digest: `sha256:${string}`;
}

export interface IncompleteRequest {
  /** Empty, as the URL is, for what concerns no single request. */
  readonly method: string;
  readonly url: string;
  readonly reason: IncompleteReason;
}

/** Why a request gave no material. All but the last two are BuildKit's words. */
export type IncompleteReason =
  | "method_not_materializable"
  | "partial_response"
  | "body_read_failed"
  | "unsuccessful_response"
  | "upstream_error"
  | "too_many_requests"
  | "proxy_failed";
