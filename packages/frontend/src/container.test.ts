import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ExecMessage, ExecMessageSchema, LLBBridge } from "@buildkit-ts/api/buildkit/gateway";
import { FrameReader, frameMessage, type RpcServer } from "@buildkit-ts/session/rpc";
import type { ContainerRequest, GatewayContainer } from "./container.ts";
import { FrontendClient } from "./frontend-client.ts";
import { MemoryGateway } from "./testing/memory-gateway.ts";

const { signal } = new AbortController();
const decoder = new TextDecoder();

/** A container whose process answers with what it reads, in capitals, until its input ends or it is told to. */
function shoutingContainer(log: string[]): (server: RpcServer) => void {
  return (server) => {
    const { method } = LLBBridge;
    server.handleUnary(method.newContainer, async ({ Mounts }) => {
      log.push(`new ${Mounts.map(({ dest, resultID }) => `${dest}=${resultID}`).join(" ")}`);
      return {};
    });
    server.handleUnary(method.releaseContainer, async () => {
      log.push("release");
      return {};
    });
    server.handleStream(method.execProcess, async (stream) => {
      const send = (ProcessID: string, input: ExecMessage["Input"]): void => {
        const message = create(ExecMessageSchema, { ProcessID, Input: input });
        stream.write(frameMessage(toBinary(ExecMessageSchema, message)));
      };
      const received: ExecMessage[] = [];
      const reader = new FrameReader((bytes) => received.push(fromBinary(ExecMessageSchema, bytes)));
      for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        reader.push(chunk);
        for (const { ProcessID, Input } of received.splice(0)) {
          if (answer(Input, (reply) => send(ProcessID, reply))) return;
        }
      }
    });
  };
}

function answer(input: ExecMessage["Input"], reply: (input: ExecMessage["Input"]) => void): boolean {
  const end = (Code: number): true => {
    reply(create(ExecMessageSchema, { Input: { case: "Exit", value: { Code } } }).Input);
    reply(create(ExecMessageSchema, { Input: { case: "Done", value: {} } }).Input);
    return true;
  };
  if (input.case === "Init") reply(create(ExecMessageSchema, { Input: { case: "Started", value: {} } }).Input);
  if (input.case === "Signal") return end(input.value.Name === "SIGTERM" ? 143 : 1);
  if (input.case !== "File") return false;
  if (input.value.EOF) return end(7);
  const Data = Buffer.from(decoder.decode(input.value.Data).toUpperCase());
  reply(create(ExecMessageSchema, { Input: { case: "File", value: { Fd: 1, Data } } }).Input);
  return false;
}

async function openContainer(gateway: MemoryGateway, request: ContainerRequest): Promise<GatewayContainer> {
  const setting = { options: {}, sessionId: "", product: "" };
  const client = await FrontendClient.open(gateway.client, setting, { signal });
  return await client.openContainer(request, { signal });
}

suite("GatewayContainer", () => {
  test("runs a process with its input and output, gives its exit code, and is released", async () => {
    const log: string[] = [];
    await using gateway = new MemoryGateway({ extend: shoutingContainer(log) });
    let output = "";
    {
      await using container = await openContainer(gateway, { mounts: [{ target: "/" }] });
      const code = await container.run(
        {
          args: ["shout"],
          stdin: Buffer.from("hello"),
          onStdout: (bytes) => {
            output += decoder.decode(bytes);
          },
        },
        { signal },
      );
      assert.equal(code, 7);
    }
    assert.equal(output, "HELLO");
    assert.deepEqual(log, ["new /=", "release"]);
  });

  test("passes signals on", async () => {
    await using gateway = new MemoryGateway({ extend: shoutingContainer([]) });
    await using container = await openContainer(gateway, { mounts: [] });
    await using started = await container.start({ args: ["wait"] }, { signal });
    await started.signal("SIGTERM");
    assert.equal(await started.exitCode, 143);
  });

  test("is refused by a daemon that runs none", async () => {
    await using gateway = new MemoryGateway({ capabilities: [] });
    await assert.rejects(openContainer(gateway, { mounts: [] }), { code: "unimplemented" });
  });
});
