import { access } from "node:fs/promises";
import { type Clock, type ErrorReporter, systemClock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import { processNetworkNamespace } from "@buildkit-ts/sys";
import type { NetworkJoin, NetworkNamespace, NetworkProvider } from "../network-provider.ts";
import { CertificateAuthority } from "./certificate-authority.ts";
import { ProxyNamespaces, proxyHost } from "./proxy-namespaces.ts";
import type { ProxyReport } from "./proxy-report.ts";
import { ProxyThread } from "./proxy-thread.ts";

/** What a step that is held to a proxy has its proxy do. */
export interface StepProxy {
  /**
   * Whether a request may be made: the URL to fetch in its place, undefined for its own. Throws for one that is denied. Without
   * it every request may be made.
   *
   * @param request Its URL holds no credentials.
   */
  check?(
    request: { readonly method: string; readonly url: string },
    options: { readonly signal: AbortSignal },
  ): Promise<string | undefined>;
  /** Told once, after the step: what it asked for. */
  onReport(report: ProxyReport): void;
}

/** The network of a step whose only way out is a proxy. */
export interface ProxiedNamespace extends NetworkNamespace {
  /** Variables by which programs find the proxy, for the end of their environment. */
  readonly env: readonly string[];
  /** The certificate (PEM) that programs have to trust. */
  readonly authority: string;
}

/** How a {@linkcode ProxyNetwork} is set up. */
export interface ProxyNetworkOptions {
  /** For namespaces; its own. */
  readonly directory: string;
  readonly reporter: ErrorReporter;
  readonly clock?: Clock;
}

/**
 * Networks of steps that reach the outside by a proxy of the daemon's, and by nothing else.
 *
 *     step ── wire ── [ proxy's namespace: listens ] proxy's thread [ the network of the step's mode: connects ] ── servers
 *
 * Nothing is made before the first step asks.
 */
export class ProxyNetwork implements AsyncDisposable {
  readonly #options: ProxyNetworkOptions;
  readonly #clock: Clock;
  readonly #namespaces: ProxyNamespaces;
  #authority: Promise<CertificateAuthority> | undefined;

  private constructor(options: ProxyNetworkOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#namespaces = new ProxyNamespaces({ ...options, clock: this.#clock });
  }

  /** Removes what a killed daemon left. */
  static async open(options: ProxyNetworkOptions): Promise<ProxyNetwork> {
    const network = new ProxyNetwork(options);
    await network.#namespaces.removeLeftovers().catch((error: unknown) => {
      options.reporter.report(error, "removing proxies' network namespaces of an earlier run");
    });
    return network;
  }

  /**
   * @param egress Where the proxy reaches servers from.
   * @throws {BuildError} `failed_precondition`, where a network cannot be made.
   */
  async acquire(
    proxy: StepProxy,
    { egress, signal }: { readonly egress: NetworkProvider; readonly signal: AbortSignal },
  ): Promise<ProxiedNamespace> {
    signal.throwIfAborted();
    await using stack = new AsyncDisposableStack();
    const authority = await this.#openAuthority();
    const pair = stack.use(await this.#namespaces.acquire());
    const outside = stack.use(await egress.acquire({ signal, hostname: "" }));
    const egressNamespace = egressPath(outside.join);
    // Whoever uses libuv's threads first starts them, in its own network namespace: that must not be a proxy.
    await access(egressNamespace);
    const ended = new AbortController();
    const checkOptions = { signal: AbortSignal.any([signal, ended.signal]) };
    const thread = await ProxyThread.start(
      { listenNamespace: pair.proxy, host: proxyHost, egressNamespace },
      {
        hooks: {
          check: async (request) => await proxy.check?.(request, checkOptions),
          identify: async (host) => await authority.identify(host),
        },
        reporter: this.#options.reporter,
      },
    );
    stack.defer(async () => {
      ended.abort(new BuildError("canceled", "The step has ended"));
      proxy.onReport(await thread.stop());
    });
    signal.throwIfAborted();
    const held = stack.move();
    return {
      join: { kind: "path", path: pair.step },
      env: environment(`http://${proxyHost}:${thread.port}`),
      authority: authority.certificate,
      [Symbol.asyncDispose]: async () => await held.disposeAsync(),
    };
  }

  async #openAuthority(): Promise<CertificateAuthority> {
    // Not with the first step's signal: others wait for it as well.
    this.#authority ??= CertificateAuthority.create(this.#clock, { signal: new AbortController().signal });
    try {
      return await this.#authority;
    } catch (error) {
      this.#authority = undefined;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#namespaces[Symbol.asyncDispose]();
    await (await this.#authority)?.[Symbol.asyncDispose]();
  }
}

function egressPath(join: NetworkJoin): string {
  switch (join.kind) {
    case "host":
      return processNetworkNamespace;
    case "path":
      return join.path;
    case "new":
      throw new BuildError("invalid_argument", "Cannot give a step a proxy: its network has no way out");
    default:
      return join satisfies never;
  }
}

/** Programs disagree on the case of these names, so both are set. */
function environment(proxy: string): string[] {
  const direct = "127.0.0.1,localhost,::1";
  return [
    `HTTP_PROXY=${proxy}`,
    `HTTPS_PROXY=${proxy}`,
    `http_proxy=${proxy}`,
    `https_proxy=${proxy}`,
    `NO_PROXY=${direct}`,
    `no_proxy=${direct}`,
  ];
}
