import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { SSH } from "@buildkit-ts/api/buildkit/ssh";
import { BuildError } from "@buildkit-ts/errdefs";
import { GrpcByteStream } from "../wire/byte-stream.ts";
import type { ReceivedMetadata } from "../wire/metadata.ts";
import type { Attachable } from "./client-session.ts";

/** An agent's socket that build steps may use. */
export interface SshAgentSource {
  readonly id: string;
  /** Default: `SSH_AUTH_SOCK`. */
  readonly socketPath?: string;
  /** Passes everything through, for sockets of other services; otherwise only listing keys and signing. */
  readonly raw?: boolean;
}

const requestIdentities = 11;
const signRequest = 13;
const maxMessageBytes = 256 << 10;
/** Length 1, type "failure". */
const failureMessage = Buffer.from([0, 0, 0, 1, 5]);

/** Forwards agents to build steps. */
export function forwardAgents(sources: readonly SshAgentSource[]): Attachable {
  const byId = new Map<string, SshAgentSource>();
  for (const source of sources) {
    const id = source.id === "" ? "default" : source.id;
    if (byId.has(id)) throw new BuildError("invalid_argument", `duplicate agent ID ${JSON.stringify(id)}`);
    byId.set(id, { ...source, socketPath: socketPathOf(source) });
  }
  return (server) => {
    server.handleUnary(SSH.method.checkAgent, async ({ ID: id }) => {
      const wanted = id === "" ? "default" : id;
      if (!byId.has(wanted)) throw new BuildError("not_found", `unset ssh forward key ${wanted}`);
      return {};
    });
    server.handleStream(SSH.method.forwardAgent, async (stream, { metadata, signal }) => {
      const source = byId.get(agentId(metadata));
      if (source === undefined) throw new BuildError("not_found", `unset ssh forward key ${agentId(metadata)}`);
      const socket = await open(source.socketPath ?? "");
      const peer = new GrpcByteStream(stream);
      const toAgent = source.raw === true ? pipeline(peer, socket, { signal }) : forwardAllowed(peer, socket);
      await Promise.allSettled([toAgent, pipeline(socket, peer, { signal, end: false })]);
      socket.destroy();
    });
  };
}

function agentId(metadata: ReceivedMetadata): string {
  return metadata["buildkit.ssh.id"]?.[0] || "default";
}

function socketPathOf(source: SshAgentSource): string {
  const path = source.socketPath ?? process.env["SSH_AUTH_SOCK"] ?? "";
  if (path === "") {
    throw new BuildError("invalid_argument", "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set");
  }
  return path;
}

async function open(path: string): Promise<Duplex> {
  return await new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", (error) => {
      reject(new BuildError("unavailable", `failed to connect to ssh agent: ${error.message}`, { cause: error }));
    });
  });
}

/** Passes requests to list keys and to sign; answers all others, which could change the user's agent, with failure. */
async function forwardAllowed(from: Duplex, agent: Duplex): Promise<void> {
  let buffered: Buffer = Buffer.alloc(0);
  for await (const chunk of from as AsyncIterable<Buffer>) {
    buffered = Buffer.concat([buffered, chunk]);
    for (let next = firstMessage(buffered); next !== undefined; next = firstMessage(buffered)) {
      buffered = buffered.subarray(next.length);
      const type = next[4];
      if (type === requestIdentities || type === signRequest) agent.write(next);
      else from.write(failureMessage);
    }
  }
  agent.end();
}

function firstMessage(buffered: Buffer): Buffer | undefined {
  if (buffered.length < 5) return undefined;
  const length = buffered.readUInt32BE(0);
  if (length === 0 || length > maxMessageBytes) {
    throw new BuildError("invalid_argument", `Cannot forward request to ssh agent: it has ${length} bytes`);
  }
  return buffered.length < length + 4 ? undefined : buffered.subarray(0, length + 4);
}
