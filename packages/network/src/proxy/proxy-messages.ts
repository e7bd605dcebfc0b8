import type { ProxyReport } from "./proxy-report.ts";

/** What a proxy's thread is started with. */
export interface ProxyThreadData {
  /** The network namespace that the proxy listens in, and its address there. */
  readonly listenNamespace: string;
  readonly host: string;
  /** The one that it reaches servers from. */
  readonly egressNamespace: string;
}

/** What the thread asks; answers come in any order. */
export type ProxyQuestion =
  | { readonly kind: "check"; readonly method: string; readonly url: string }
  | { readonly kind: "identify"; readonly host: string };

export type MessageFromThread =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "question"; readonly id: number; readonly question: ProxyQuestion }
  | { readonly kind: "report"; readonly report: ProxyReport };

export type MessageToThread =
  | { readonly kind: "answer"; readonly id: number; readonly answer: unknown }
  | { readonly kind: "refusal"; readonly id: number }
  | { readonly kind: "stop" };
