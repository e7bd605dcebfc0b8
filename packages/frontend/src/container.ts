import { randomBytes } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import type { NewContainerRequestSchema } from "@buildkit-ts/api/buildkit/gateway";
import type { Stat } from "@buildkit-ts/api/fsutil/stat";
import { BuildError } from "@buildkit-ts/errdefs";
import { platformToProto } from "@buildkit-ts/llb";
import type { Platform } from "@buildkit-ts/oci";
import { type ContainerProcess, type ProcessRequest, startProcess } from "./container-process.ts";
import type { ContainerFile, GatewayClient } from "./gateway-client.ts";
import type { Reference } from "./reference.ts";

/** A mount of a container; the one at `/` is its root filesystem. */
export interface ContainerMount {
  readonly target: string;
  /** What is mounted; an empty directory if undefined. */
  readonly ref?: Pick<Reference, "id">;
  readonly selector?: string;
  readonly readonly?: boolean;
  readonly cache?: { readonly id: string; readonly sharing?: "shared" | "private" | "locked" };
  readonly tmpfs?: boolean;
  readonly secret?: { readonly id: string; readonly optional?: boolean };
}

/** What a container is made of. */
export interface ContainerRequest {
  readonly mounts: readonly ContainerMount[];
  /** Default: the daemon's own. */
  readonly network?: "sandbox" | "host" | "none";
  readonly hostname?: string;
  readonly platform?: Platform;
  readonly extraHosts?: readonly { readonly host: string; readonly ip: string }[];
}

const sharings = { shared: 0, private: 1, locked: 2 } as const;
const networks = { sandbox: opspb.NetMode.UNSET, host: opspb.NetMode.HOST, none: opspb.NetMode.NONE } as const;
const releaseTimeoutMs = 30_000;

/**
 * A container that lives while the build goes on. What its processes write is thrown away with it.
 *
 *     open ──▶ start, start … ──▶ dispose (ends what still runs)
 */
export class GatewayContainer implements AsyncDisposable {
  readonly id: string;
  readonly #gateway: GatewayClient;
  #released: Promise<void> | undefined;

  private constructor(gateway: GatewayClient, id: string) {
    this.#gateway = gateway;
    this.id = id;
  }

  static async open(
    gateway: GatewayClient,
    request: ContainerRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<GatewayContainer> {
    const id = randomBytes(16).toString("hex");
    await gateway.newContainer(containerMessage(id, request), options);
    return new GatewayContainer(gateway, id);
  }

  /** Starts a process; the first one of a container is its init. */
  async start(request: ProcessRequest, options: { readonly signal: AbortSignal }): Promise<ContainerProcess> {
    return await startProcess(this.#gateway.execProcess(options), this.id, request);
  }

  /** Runs a process to its end. @returns its exit code. */
  async run(request: ProcessRequest, options: { readonly signal: AbortSignal }): Promise<number> {
    await using started = await this.start(request, options);
    return await started.exitCode;
  }

  /** A file's content in one of the mounts, counted as they were asked for. Works before, while and after processes run. */
  async readFile(
    path: string,
    options: { readonly signal: AbortSignal; readonly mount?: number },
  ): Promise<Uint8Array> {
    return await this.#gateway.readContainerFile(this.#file(path, options), options);
  }

  async readDirectory(
    path: string,
    options: { readonly signal: AbortSignal; readonly mount?: number },
  ): Promise<readonly Stat[]> {
    return await this.#gateway.readContainerDirectory(this.#file(path, options), options);
  }

  /** What a path is, symbolic links followed; undefined if the daemon does not tell. */
  async stat(
    path: string,
    options: { readonly signal: AbortSignal; readonly mount?: number },
  ): Promise<Stat | undefined> {
    return await this.#gateway.statContainer(this.#file(path, options), options);
  }

  #file(path: string, { mount = 0 }: { readonly mount?: number }): ContainerFile {
    return { container: this.id, mount, path };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#released ??= this.#release();
    await this.#released;
  }

  async #release(): Promise<void> {
    try {
      await this.#gateway.releaseContainer(this.id, { signal: AbortSignal.timeout(releaseTimeoutMs) });
    } catch (error) {
      // What the daemon says where something still ran: that this is over now is what was asked for.
      if (!(error instanceof BuildError) || error.code !== "canceled") throw error;
    }
  }
}

function containerMessage(id: string, request: ContainerRequest): MessageInitShape<typeof NewContainerRequestSchema> {
  return {
    ContainerID: id,
    Mounts: request.mounts.map(mountMessage),
    Network: networks[request.network ?? "sandbox"],
    hostname: request.hostname ?? "",
    extraHosts: (request.extraHosts ?? []).map(({ host, ip }) => ({ Host: host, IP: ip })),
    ...(request.platform !== undefined && { platform: platformToProto(request.platform) }),
  };
}

function mountMessage(mount: ContainerMount): MessageInitShape<typeof opspb.MountSchema> {
  const { cache, secret } = mount;
  const common = {
    dest: mount.target,
    selector: mount.selector ?? "",
    readonly: mount.readonly ?? false,
    resultID: mount.ref?.id ?? "",
  };
  if (cache !== undefined) {
    const cacheOpt = { ID: cache.id, sharing: sharings[cache.sharing ?? "shared"] };
    return { ...common, mountType: opspb.MountType.CACHE, cacheOpt };
  }
  if (secret !== undefined) {
    const secretOpt = { ID: secret.id, mode: 0o400, optional: secret.optional ?? false };
    return { ...common, mountType: opspb.MountType.SECRET, secretOpt };
  }
  return { ...common, mountType: mount.tmpfs === true ? opspb.MountType.TMPFS : opspb.MountType.BIND };
}
