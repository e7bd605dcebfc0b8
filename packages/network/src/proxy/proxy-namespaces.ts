import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { type Clock, type ErrorReporter } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import { IdlePool } from "../namespaces/idle-pool.ts";
import { PersistentNamespaces } from "../namespaces/persistent-namespaces.ts";

/** Paths of two network namespaces with a wire between them, and nothing else in them. */
export interface NamespacePair {
  /** Where the step's processes are. */
  readonly step: string;
  /** Where the proxy listens, at {@linkcode proxyHost}. */
  readonly proxy: string;
}

/** The same in all pairs: no packet leaves one. */
export const proxyHost = "10.89.0.1";
const stepHost = "10.89.0.2";

/** A pair costs some processes to make: one that was used is kept this long for the next step. */
const graceMs = 5 * 60_000;

/** Namespaces of steps whose only way out is a proxy: no route leads anywhere else. */
export class ProxyNamespaces implements AsyncDisposable {
  readonly #namespaces: PersistentNamespaces;
  readonly #pool: IdlePool<string>;

  constructor(options: { readonly directory: string; readonly clock: Clock; readonly reporter: ErrorReporter }) {
    this.#namespaces = new PersistentNamespaces(options.directory);
    this.#pool = new IdlePool({
      create: async () => await this.#create(),
      release: async (id) => await this.#release(id),
      targetSize: 0,
      graceMs,
      clock: options.clock,
      reporter: options.reporter,
    });
  }

  /** Removes what a killed daemon left. */
  async removeLeftovers(): Promise<void> {
    for (const id of this.#namespaces.ids()) await this.#namespaces.delete(id);
  }

  async acquire(): Promise<NamespacePair & AsyncDisposable> {
    const id = await this.#pool.take();
    return { ...this.#pathsOf(id), [Symbol.asyncDispose]: async () => await this.#pool.put(id) };
  }

  async #create(): Promise<string> {
    const id = randomUUID();
    await using stack = new AsyncDisposableStack();
    stack.defer(async () => await this.#release(id));
    const step = await this.#namespaces.create(stepOf(id));
    const proxy = await this.#namespaces.create(proxyOf(id));
    await configure(proxy, [
      "link set lo up",
      `link add step0 type veth peer name eth0 netns ${step}`,
      `addr add ${proxyHost}/30 dev step0`,
      "link set step0 up",
    ]);
    await configure(step, ["link set lo up", `addr add ${stepHost}/30 dev eth0`, "link set eth0 up"]);
    stack.move();
    return id;
  }

  /** The wire ends with either of its namespaces. */
  async #release(id: string): Promise<void> {
    await this.#namespaces.delete(stepOf(id));
    await this.#namespaces.delete(proxyOf(id));
  }

  #pathsOf(id: string): NamespacePair {
    return { step: this.#namespaces.path(stepOf(id)), proxy: this.#namespaces.path(proxyOf(id)) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
  }
}

function stepOf(id: string): string {
  return `${id}-step`;
}

function proxyOf(id: string): string {
  return `${id}-proxy`;
}

/** Runs commands of ip(8) within a namespace. */
async function configure(namespace: string, commands: readonly string[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = execFile("nsenter", [`--net=${namespace}`, "ip", "-batch", "-"], (error, _stdout, stderr) => {
    if (error === null) resolve();
    else reject(new Error(stderr.trim() === "" ? error.message : stderr.trim(), { cause: error }));
  });
  // It may have ended before it has read anything; its exit says why.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(`${commands.join("\n")}\n`);
  try {
    await promise;
  } catch (error) {
    throw new BuildError(
      "failed_precondition",
      `Cannot set up network namespace "${namespace}": ${(error as Error).message}`,
      { cause: error, hint: "The proxy network needs the programs nsenter (util-linux) and ip (iproute2)" },
    );
  }
}
