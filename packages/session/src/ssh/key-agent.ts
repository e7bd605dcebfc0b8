import { BuildError } from "@buildkit-ts/errdefs";
import type { SshKey } from "./ssh-key.ts";
import { SshWireReader, sshField } from "./wire-reader.ts";

/** Types of the agent's messages (draft-ietf-sshm-ssh-agent). */
export const agentMessage = {
  failure: 5,
  requestIdentities: 11,
  identitiesAnswer: 12,
  signRequest: 13,
  signResponse: 14,
} as const;

const rsaSha256Flag = 2;
const rsaSha512Flag = 4;

/** The answer of an agent that holds these keys, with the length before it. It can list them and sign, no more. */
export function answerAgentRequest(message: Uint8Array, keys: readonly SshKey[]): Buffer {
  try {
    return sshField(answer(new SshWireReader(message), keys));
  } catch (error) {
    // A request that cannot be read is refused as one that cannot be met.
    if (!(error instanceof BuildError)) throw error;
    return sshField(Buffer.of(agentMessage.failure));
  }
}

function answer(request: SshWireReader, keys: readonly SshKey[]): Buffer {
  const type = request.bytes(1)[0];
  if (type === agentMessage.requestIdentities) {
    const count = Buffer.alloc(4);
    count.writeUInt32BE(keys.length);
    const list = keys.flatMap(({ blob }) => [sshField(blob), sshField("")]);
    return Buffer.concat([Buffer.of(agentMessage.identitiesAnswer), count, ...list]);
  }
  if (type !== agentMessage.signRequest) return Buffer.of(agentMessage.failure);
  const blob = request.field();
  const data = request.field();
  const flags = request.uint32();
  const key = keys.find((candidate) => candidate.blob.equals(blob));
  if (key === undefined) return Buffer.of(agentMessage.failure);
  const hash = (flags & rsaSha512Flag) !== 0 ? "sha512" : (flags & rsaSha256Flag) !== 0 ? "sha256" : "sha1";
  return Buffer.concat([Buffer.of(agentMessage.signResponse), sshField(key.sign(data, hash))]);
}
