import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectSocket } from "node:net";
import { before, suite, test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Definition, DefinitionSchema, type Op, OpSchema } from "@buildkit-ts/api/buildkit/ops";
import { BuildkitClient } from "@buildkit-ts/client";
import { BuildError } from "@buildkit-ts/errdefs";
import { TestDaemon } from "./support/daemon.ts";
import { leftovers } from "./support/leftovers.ts";
import { ownedBySuite } from "./support/owned-by-suite.ts";
import { temporaryFolder } from "./support/processes.ts";
import { solve } from "./support/solve.ts";

type OpInit = MessageInitShape<typeof OpSchema>;

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const encode = (op: OpInit | Op): Uint8Array => toBinary(OpSchema, create(OpSchema, op as OpInit));
const definition = (...ops: readonly Uint8Array[]): Definition => {
  const [root] = ops.slice(-1);
  const end = encode({ inputs: root === undefined ? [] : [{ digest: digestOf(root), index: 0n }] });
  return create(DefinitionSchema, { def: [...ops, end] });
};

const nothing = encode({
  op: { case: "file", value: { actions: [{ input: -1n, secondaryInput: -1n, output: 0n }] } },
});
const mkdir = (path: string): Uint8Array =>
  encode({
    op: {
      case: "file",
      value: {
        actions: [
          {
            input: -1n,
            secondaryInput: -1n,
            output: 0n,
            action: { case: "mkdir", value: { path, mode: 0o755, makeParents: true, timestamp: -1n } },
          },
        ],
      },
    },
  });
const base = mkdir("/a");
const input = (op: Uint8Array, index = 0n): { digest: string; index: bigint } => ({ digest: digestOf(op), index });
const exec = (init: Extract<OpInit["op"], { case: "exec" }>["value"], inputs = [input(base)]): Uint8Array =>
  encode({ inputs, op: { case: "exec", value: init } });
const meta = { args: ["/x"], cwd: "/" };

const bad: readonly (readonly [name: string, definition: () => Definition])[] = [
  ["a missing input", () => definition(exec({ meta, mounts: [{ dest: "/" }] }))],
  [
    "an input's index that the other lacks",
    () => definition(base, exec({ meta, mounts: [{ dest: "/" }] }, [input(base, 7n)])),
  ],
  ["a huge index", () => definition(base, exec({ meta, mounts: [{ dest: "/" }] }, [input(base, 2n ** 62n)]))],
  ["a negative index", () => definition(base, exec({ meta, mounts: [{ dest: "/" }] }, [input(base, -1n)]))],
  ["a mount of an input that is not there", () => definition(base, exec({ meta, mounts: [{ dest: "/", input: 9n }] }))],
  ["a mount's output far away", () => definition(base, exec({ meta, mounts: [{ dest: "/", output: 2n ** 40n }] }))],
  ["no mounts", () => definition(base, exec({ meta, mounts: [] }))],
  ["no arguments", () => definition(base, exec({ meta: { args: [], cwd: "/" }, mounts: [{ dest: "/" }] }))],
  ["no meta", () => definition(base, exec({ mounts: [{ dest: "/" }] }))],
  ["no cwd", () => definition(base, exec({ meta: { args: ["/x"], cwd: "" }, mounts: [{ dest: "/" }] }))],
  ["an unknown network", () => definition(base, exec({ meta, network: 99 as 0, mounts: [{ dest: "/" }] }))],
  [
    "an unknown mount type",
    () => definition(base, exec({ meta, mounts: [{ dest: "/" }, { dest: "/c", mountType: 77 as 0, input: -1n }] })),
  ],
  [
    "a cache mount without options",
    () => definition(base, exec({ meta, mounts: [{ dest: "/" }, { dest: "/c", mountType: 3, input: -1n }] })),
  ],
  ["a file action of no kind", () => definition(nothing)],
  ["a file op without actions", () => definition(encode({ op: { case: "file", value: { actions: [] } } }))],
  [
    "a file action on a later one",
    () =>
      definition(
        encode({
          op: {
            case: "file",
            value: { actions: [{ input: 5n, secondaryInput: 9n, output: 0n, action: { case: "copy", value: {} } }] },
          },
        }),
      ),
  ],
  ["a source without identifier", () => definition(encode({ op: { case: "source", value: {} } }))],
  [
    "a source of an unknown scheme",
    () => definition(encode({ op: { case: "source", value: { identifier: "nothing://x" } } })),
  ],
  [
    "an image without a name",
    () => definition(encode({ op: { case: "source", value: { identifier: "docker-image://" } } })),
  ],
  ["a diff of nothing", () => definition(encode({ op: { case: "diff", value: {} } }))],
  ["a build of nothing", () => definition(encode({ op: { case: "build", value: {} } }))],
  ["no operation", () => definition(encode({ inputs: [] }))],
  ["an end without input", () => create(DefinitionSchema, { def: [encode({ inputs: [] })] })],
  [
    "an end alone that names nothing",
    () => create(DefinitionSchema, { def: [encode({ inputs: [{ digest: "", index: 0n }] })] }),
  ],
  ["an operation that is no message", () => definition(base, Buffer.from("ffffffffffffff", "hex"))],
  ["an empty operation", () => create(DefinitionSchema, { def: [new Uint8Array()] })],
];

suite("the daemon stands", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("hostile-requests"));
  let daemon: TestDaemon;

  before(async () => {
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const socketPath = (): string => daemon.address.slice("unix://".length);
  const answers = async (): Promise<void> => {
    const signal = AbortSignal.timeout(5000);
    await using client = await BuildkitClient.connect(daemon.address, { signal });
    assert.equal((await client.listWorkers([], { signal })).length, 1);
  };

  for (const [name, make] of bad) {
    test(`a definition with ${name}`, async () => {
      const { error } = await solve(daemon, { definition: make() });
      assert.ok(error instanceof BuildError, `it is refused, not ${String(error)}`);
      assert.ok(
        !["internal", "unavailable", "deadline_exceeded"].includes(error.code),
        `${error.code}: ${error.message}`,
      );
      assert.doesNotMatch(error.message, /undefined|is not a function|Cannot read prop|\bBigInt\b|NaN/, error.message);
      await answers();
    });
  }

  test("random bytes for operations, and damaged good ones", async () => {
    const good = [base, exec({ meta, mounts: [{ dest: "/" }] })];
    for (let round = 0; round < 60; round += 1) {
      const ops = good.map((bytes) => Uint8Array.from(bytes));
      const [victim] = ops.slice(round % 2);
      if (victim !== undefined) victim[(round * 7919) % victim.length] = (round * 104_729) % 256;
      const made = round % 3 === 0 ? definition(randomBytes(round)) : definition(...ops);
      const { error } = await solve(daemon, { definition: made });
      if (error instanceof BuildError) assert.notEqual(error.code, "internal", error.message);
    }
    await answers();
  });

  for (const [count, expected] of [
    [100_000, /more than 100000/],
    [10_000, /connection refused/],
  ] as const)
    test(`${count} vertices, deep and wide`, async () => {
      const source = encode({ op: { case: "source", value: { identifier: "docker-image://127.0.0.1:1/x:latest" } } });
      const deep = [source];
      for (let i = 0; i < count; i += 1) {
        const [previous = source] = deep.slice(-1);
        deep.push(
          encode({
            inputs: [input(previous)],
            op: {
              case: "file",
              value: {
                actions: [
                  { input: 0n, secondaryInput: -1n, output: 0n, action: { case: "mkdir", value: { path: "/a" } } },
                ],
              },
            },
          }),
        );
      }
      const wide = Array.from({ length: count }, (_, i) => mkdir(`/${i}`));
      const merged = encode({
        inputs: [...wide.map((op) => input(op)), input(source)],
        op: { case: "merge", value: { inputs: [...wide, source].map((_, i) => ({ input: BigInt(i) })) } },
      });
      for (const def of [definition(...deep), definition(...wide, source, merged)]) {
        const from = performance.now();
        const building = solve(daemon, { definition: def, signal: AbortSignal.timeout(40_000) });
        let slowest = 0;
        let done = false;
        const ended = building.finally(() => {
          done = true;
        });
        while (!done) {
          const asked = performance.now();
          await answersWithin(daemon, 20_000);
          slowest = Math.max(slowest, performance.now() - asked);
        }
        const { error } = await ended;
        assert.match(String(error), expected);
        assert.ok(performance.now() - from < 40_000);
        assert.ok(slowest < 10_000, `others waited for ${slowest} ms`);
      }
      await answers();
    });

  /** Sends bytes on a connection of their own, and gives it up if the daemon does not. */
  const throwAt = async (bytes: Buffer, { andEnd }: { readonly andEnd: boolean }): Promise<void> => {
    const socket = connectSocket(socketPath());
    socket.on("error", () => undefined).resume();
    socket.write(bytes);
    if (andEnd) socket.end();
    await Promise.race([once(socket, "close"), new Promise((resolve) => setTimeout(resolve, 200))]);
    socket.destroy();
  };

  test("garbage on its socket", async () => {
    const inputs = [
      Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
      randomBytes(100_000),
      Buffer.concat([preface, randomBytes(100_000)]),
      Buffer.concat([preface, Buffer.from("ffffff0400000000ff", "hex"), Buffer.alloc(1000)]),
      Buffer.alloc(0),
    ];
    for (const bytes of inputs) await throwAt(bytes, { andEnd: true });
    await answers();
  });

  test("a session whose connection ends with the bytes that ask for it", async () => {
    const ask = Buffer.concat([preface, http2Frame(4, {}, Buffer.alloc(0)), sessionHeaders()]);
    const ends = [
      // GOAWAY with an error, a DATA frame with more padding than bytes, a frame of stream 0 that needs a stream, RST_STREAM.
      http2Frame(7, {}, Buffer.from("0000000100000002", "hex")),
      http2Frame(0, { flags: 8, stream: 1 }, Buffer.from("c801", "hex")),
      http2Frame(0, {}, Buffer.from("00", "hex")),
      http2Frame(3, { stream: 1 }, Buffer.from("00000008", "hex")),
    ];
    for (const end of ends) await throwAt(Buffer.concat([ask, end]), { andEnd: false });
    await answers();
  });

  const calls: readonly (readonly [name: string, path: string, body: Buffer, status: RegExp])[] = [
    ["an unknown method", "/moby.buildkit.v1.Control/Nothing", frame(Buffer.alloc(0)), /^12$/],
    ["an unknown service", "/nothing.Nothing/Nothing", frame(Buffer.alloc(0)), /^12$/],
    ["a message that is none", "/moby.buildkit.v1.Control/Solve", frame(Buffer.from("ffffffff", "hex")), /^(3|13)$/],
    ["a frame shorter than it says", "/moby.buildkit.v1.Control/Solve", Buffer.from("00000000ff01", "hex"), /^[1-9]/],
    ["a frame of four gigabytes", "/moby.buildkit.v1.Control/Solve", Buffer.from("00ffffffff01", "hex"), /^(8|3)$/],
    ["an unknown compression", "/moby.buildkit.v1.Control/Info", Buffer.from("0100000001ff", "hex"), /^[1-9]/],
    ["an empty solve", "/moby.buildkit.v1.Control/Solve", frame(Buffer.alloc(0)), /^[1-9]/],
    ["a build that is not there", "/moby.buildkit.v1.frontend.LLBBridge/Ping", frame(Buffer.alloc(0)), /^[1-9]/],
  ];
  for (const [name, path, body, expected] of calls) {
    test(`${name}`, async () => {
      const session = connectHttp2("http://localhost", { createConnection: () => connectSocket(socketPath()) });
      session.on("error", () => undefined);
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
      });
      let status = "";
      const seen = (headers: NodeJS.Dict<string | string[]>): void => {
        status = String(headers["grpc-status"] ?? status);
      };
      stream
        .on("response", seen)
        .on("trailers", seen)
        .on("error", () => undefined)
        .resume();
      stream.end(body);
      await Promise.race([once(stream, "close"), new Promise((resolve) => setTimeout(resolve, 5000))]);
      session.destroy();
      assert.match(status, expected);
      await answers();
    });
  }

  test("all of it without leaving anything behind", () => {
    assert.deepEqual(leftovers(daemon.root), []);
    assert.doesNotMatch(daemon.log(), /unhandled|TypeError|RangeError/i);
  });
});

const preface: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** RFC 9113, section 4.1. */
function http2Frame(type: number, { flags = 0, stream = 0 }, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** HEADERS of a call of `Control.Session` on stream 1, with all names and values in plain (RFC 7541, section 6.2.2). */
function sessionHeaders(): Buffer {
  const fields = [
    [":method", "POST"],
    [":path", "/moby.buildkit.v1.Control/Session"],
    [":scheme", "http"],
    [":authority", "x"],
    ["content-type", "application/grpc"],
  ];
  const literals = fields.map(([name = "", value = ""]) =>
    Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]),
  );
  return http2Frame(1, { flags: 4, stream: 1 }, Buffer.concat(literals));
}

function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

async function answersWithin(daemon: TestDaemon, timeoutMs: number): Promise<void> {
  const signal = AbortSignal.timeout(timeoutMs);
  await using client = await BuildkitClient.connect(daemon.address, { signal, timeoutMs });
  await client.listWorkers([], { signal });
}
