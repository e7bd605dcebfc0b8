import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import type { Http2SecureServer, Http2Server } from "node:http2";
import { connect } from "node:net";
import { dirname } from "node:path";
import { type ControlServerOptions, createControlServer, createSecureControlServer } from "@buildkit-ts/control";
import { BuildError } from "@buildkit-ts/errdefs";

export interface ListenOptions {
  readonly control: ControlServerOptions;
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string | undefined } | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  warn(text: string): void;
}

/** A server that accepts connections; the address is the real one, also where port 0 was asked for. */
export interface Listener {
  readonly address: string;
  readonly server: Http2Server | Http2SecureServer;
}

/** First descriptor that systemd hands over (sd_listen_fds(3)). */
const firstInheritedFd = 3;

/** @throws {BuildError} naming the address and why it cannot be listened on. */
export async function listen(address: string, options: ListenOptions): Promise<Listener> {
  const [, scheme = "", rest = ""] = /^([a-z]+):\/\/(.*)$/s.exec(address) ?? [];
  if (scheme === "unix") return await listenUnix(rest, address, options);
  if (scheme === "tcp") return await listenTcp(rest, address, options);
  if (scheme === "fd") return await listenInherited(rest, address, options);
  throw new BuildError("invalid_argument", `Cannot listen on "${address}": not unix://, tcp:// or fd://`);
}

async function listenUnix(path: string, address: string, options: ListenOptions): Promise<Listener> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  await removeStaleSocket(path, address);
  const server = createControlServer(options.control);
  await started(server, address, () => server.listen({ path }));
  if (options.uid !== undefined || options.gid !== undefined) chownSync(path, options.uid ?? 0, options.gid ?? 0);
  chmodSync(path, 0o660);
  return { address, server };
}

/** A socket that somebody answers on belongs to a living daemon, and is left alone. */
async function removeStaleSocket(path: string, address: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket())
    throw new BuildError("failed_precondition", `Cannot listen on "${address}": the path is no socket`);
  const isAlive = await new Promise<boolean>((resolve) => {
    const socket = connect({ path }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
  if (isAlive) throw new BuildError("already_exists", `Cannot listen on "${address}": another daemon answers there`);
  unlinkSync(path);
}

async function listenTcp(rest: string, address: string, options: ListenOptions): Promise<Listener> {
  const [, host = "", port = ""] = /^\[?([^\]]*)\]?:(\d+)$/.exec(rest) ?? [];
  if (port === "") throw new BuildError("invalid_argument", `Cannot listen on "${address}": no port`);
  const server =
    options.tls === undefined
      ? createControlServer(options.control)
      : createSecureControlServer(options.control, tlsOptions(options.tls));
  if (options.tls === undefined)
    options.warn(`TLS is not enabled for ${address}: anyone who reaches it controls this machine`);
  await started(server, address, () => server.listen({ port: Number(port), ...(host !== "" && { host }) }));
  const bound = server.address();
  return { address: typeof bound === "object" && bound !== null ? `tcp://${host}:${bound.port}` : address, server };
}

async function listenInherited(rest: string, address: string, options: ListenOptions): Promise<Listener> {
  if (rest !== "") throw new BuildError("invalid_argument", `Cannot listen on "${address}": nothing may follow fd://`);
  if (Number(process.env["LISTEN_FDS"] ?? 0) < 1) {
    throw new BuildError(
      "failed_precondition",
      `Cannot listen on "${address}": no socket was handed over (LISTEN_FDS is not set)`,
    );
  }
  const server = createControlServer(options.control);
  await started(server, address, () => server.listen({ fd: firstInheritedFd }));
  return { address, server };
}

function tlsOptions(tls: NonNullable<ListenOptions["tls"]>): object {
  return {
    cert: readFileSync(tls.cert),
    key: readFileSync(tls.key),
    minVersion: "TLSv1.2",
    ...(tls.ca !== undefined && { ca: readFileSync(tls.ca), requestCert: true, rejectUnauthorized: true }),
  };
}

async function started(server: Http2Server | Http2SecureServer, address: string, start: () => unknown): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(new BuildError("unavailable", `Cannot listen on "${address}": ${error.message}`, { cause: error })),
    );
    server.once("listening", resolve);
    start();
  });
}
