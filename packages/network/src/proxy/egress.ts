import { type ClientRequest, Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { pipeline } from "node:stream/promises";
import { createSecureContext, getCACertificates } from "node:tls";
import { hostOf } from "./target-url.ts";

/** What is asked of a server. */
export interface EgressRequest {
  readonly method: string;
  readonly url: URL;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  /** Sent as it comes; undefined for none. */
  readonly body: IncomingMessage | undefined;
}

const maxIdleConnections = 32;
/** As many as servers send, and no more than anybody has a use for. */
const maxHeaderBytes = 64 << 10;
const maxAttempts = 4;

/** Connections to servers, of the network that the thread is in. Servers have to prove who they are. */
export class Egress implements Disposable {
  readonly #http = new HttpAgent({ keepAlive: true, maxFreeSockets: maxIdleConnections });
  #https: HttpsAgent | undefined;

  /** The answer, before its body. */
  async send(request: EgressRequest, options: { readonly signal: AbortSignal }): Promise<IncomingMessage> {
    for (let attempt = 1; ; attempt += 1) {
      const sent = this.#start(request, options.signal);
      try {
        return await answerOf(sent, request.body);
      } catch (error) {
        options.signal.throwIfAborted();
        // The server has closed the connection while it was idle, as it may: nothing was done then.
        const isStale = sent.reusedSocket && request.body === undefined && attempt < maxAttempts;
        if (!isStale || (request.method !== "GET" && request.method !== "HEAD")) throw error;
      }
    }
  }

  #start({ method, url, headers }: EgressRequest, signal: AbortSignal): ClientRequest {
    const options = {
      method,
      host: hostOf(url),
      port: url.port,
      path: `${url.pathname}${url.search}`,
      headers,
      signal,
      maxHeaderSize: maxHeaderBytes,
    };
    if (url.protocol === "http:") return requestHttp({ ...options, agent: this.#http });
    this.#https ??= createHttpsAgent();
    return requestHttps({ ...options, agent: this.#https });
  }

  [Symbol.dispose](): void {
    this.#http.destroy();
    this.#https?.destroy();
  }
}

function createHttpsAgent(): HttpsAgent {
  // The machine's own authorities too: that is where those of a company are. Read once, since that takes a while.
  const ca = [...new Set([...getCACertificates("default"), ...getCACertificates("system")])];
  return new HttpsAgent({
    keepAlive: true,
    maxFreeSockets: maxIdleConnections,
    secureContext: createSecureContext({ ca }),
  });
}

async function answerOf(sent: ClientRequest, body: IncomingMessage | undefined): Promise<IncomingMessage> {
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    sent.once("response", resolve);
    sent.on("error", reject);
    // Such as after an answer that switches protocols, which nobody asked for.
    sent.once("close", () => reject(new Error("the server has closed the connection without an answer")));
  });
  if (body === undefined) sent.end();
  // A server may answer before it has read everything; what becomes of the rest does not matter then.
  else pipeline(body, sent).catch((error: unknown) => sent.destroy(error as Error));
  return await answer;
}
