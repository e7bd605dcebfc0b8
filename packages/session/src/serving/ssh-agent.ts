import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { SSH } from "@buildkit-ts/api/buildkit/ssh";
import { BuildError } from "@buildkit-ts/errdefs";
import { agentMessage, answerAgentRequest } from "../ssh/key-agent.ts";
import { parseSshKey, type SshKey } from "../ssh/ssh-key.ts";
import { sshField } from "../ssh/wire-reader.ts";
import { GrpcByteStream } from "../wire/byte-stream.ts";
import type { ReceivedMetadata } from "../wire/metadata.ts";
import type { Attachable } from "./client-session.ts";

/** An agent that build steps may use. */
export interface SshAgentSource {
  readonly id: string;
  /** The socket of an agent, or one or more key files. Default: the agent of `SSH_AUTH_SOCK`. */
  readonly paths?: readonly string[];
  /** Passes everything through, for sockets of other services; otherwise only listing keys and signing. */
  readonly raw?: boolean;
}

type Agent =
  | { readonly kind: "socket"; readonly path: string; readonly raw: boolean }
  | { readonly kind: "keys"; readonly keys: readonly SshKey[] };

const maxMessageBytes = 256 << 10;
const maxKeyBytes = 100 << 10;

/**
 * Forwards agents to build steps, or acts as one for key files, which are read now.
 *
 * @throws {BuildError} `invalid_argument`, for paths that are neither; `failed_precondition`, for a locked key.
 */
export function forwardAgents(sources: readonly SshAgentSource[]): Attachable {
  const byId = new Map<string, Agent>();
  for (const source of sources) {
    const id = source.id === "" ? "default" : source.id;
    if (byId.has(id)) throw new BuildError("invalid_argument", `duplicate agent ID ${JSON.stringify(id)}`);
    byId.set(id, openAgent(source));
  }
  return (server) => {
    server.handleUnary(SSH.method.checkAgent, async ({ ID: id }) => {
      const wanted = id === "" ? "default" : id;
      if (!byId.has(wanted)) throw new BuildError("not_found", `unset ssh forward key ${wanted}`);
      return {};
    });
    server.handleStream(SSH.method.forwardAgent, async (stream, { metadata, signal }) => {
      const agent = byId.get(agentId(metadata));
      if (agent === undefined) throw new BuildError("not_found", `unset ssh forward key ${agentId(metadata)}`);
      const peer = new GrpcByteStream(stream);
      if (agent.kind === "keys") await answerAll(peer, agent.keys);
      else await forward(peer, agent, signal);
    });
  };
}

function agentId(metadata: ReceivedMetadata): string {
  return metadata["buildkit.ssh.id"]?.[0] || "default";
}

function openAgent({ paths = [], raw = false }: SshAgentSource): Agent {
  const [first = process.env["SSH_AUTH_SOCK"] ?? ""] = paths;
  if (first === "") {
    throw new BuildError("invalid_argument", "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set");
  }
  const all = paths.length === 0 ? [first] : paths;
  const sockets = all.filter(isSocket);
  if (raw || (sockets.length === 1 && all.length === 1)) return { kind: "socket", path: first, raw };
  if (sockets.length > 0) throw new BuildError("invalid_argument", "invalid combination of keys and sockets");
  return { kind: "keys", keys: all.map(readKey) };
}

function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch (error) {
    const { message } = error as Error;
    throw new BuildError("invalid_argument", `failed to open ${path}: ${message}`, { cause: error });
  }
}

function readKey(path: string): SshKey {
  const stat = statSync(path);
  if (!stat.isFile() || stat.size > maxKeyBytes)
    throw new BuildError("invalid_argument", `Cannot use SSH key "${path}": no file of a key's size`);
  try {
    return parseSshKey(readFileSync(path, "utf8"));
  } catch (error) {
    const { code, message, hint } = BuildError.from(error);
    const options = { cause: error, ...(hint !== undefined && { hint }) };
    throw new BuildError(code, `failed to parse ${path}: ${message}`, options);
  }
}

async function forward(peer: Duplex, agent: Extract<Agent, { kind: "socket" }>, signal: AbortSignal): Promise<void> {
  const socket = await open(agent.path);
  const toAgent = agent.raw ? pipeline(peer, socket, { signal }) : forwardAllowed(peer, socket);
  await Promise.allSettled([toAgent, pipeline(socket, peer, { signal, end: false })]);
  socket.destroy();
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
  for await (const message of messagesOf(from)) {
    const isAllowed = message[0] === agentMessage.requestIdentities || message[0] === agentMessage.signRequest;
    if (isAllowed) agent.write(sshField(message));
    else from.write(sshField(Buffer.of(agentMessage.failure)));
  }
  agent.end();
}

async function answerAll(peer: Duplex, keys: readonly SshKey[]): Promise<void> {
  for await (const message of messagesOf(peer)) peer.write(answerAgentRequest(message, keys));
}

/** The messages of an agent's client, without the lengths before them. */
async function* messagesOf(from: Duplex): AsyncGenerator<Buffer, void> {
  let buffered: Buffer = Buffer.alloc(0);
  for await (const chunk of from as AsyncIterable<Buffer>) {
    buffered = Buffer.concat([buffered, chunk]);
    while (buffered.length >= 5) {
      const length = buffered.readUInt32BE(0);
      if (length === 0 || length > maxMessageBytes) {
        throw new BuildError("invalid_argument", `Cannot forward request to ssh agent: it has ${length} bytes`);
      }
      if (buffered.length < length + 4) break;
      yield buffered.subarray(4, length + 4);
      buffered = buffered.subarray(length + 4);
    }
  }
}
