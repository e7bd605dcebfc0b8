import assert from "node:assert/strict";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, suite, test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { ResultSchema } from "@buildkit-ts/api/buildkit/gateway";
import { type Definition, DefinitionSchema, OpSchema } from "@buildkit-ts/api/buildkit/ops";
import { BuildError } from "@buildkit-ts/errdefs";
import type { GatewayClient } from "@buildkit-ts/frontend";
import { digestOf } from "@buildkit-ts/oci";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { ownedBySuite } from "../e2e/support/owned-by-suite.ts";
import { repository, temporaryFolder } from "../e2e/support/processes.ts";
import { solve } from "../e2e/support/solve.ts";

interface Wish {
  readonly network?: opspb.NetMode;
  readonly security?: opspb.SecurityMode;
}

/** What a step can ask for beyond the sandbox, what it must be granted for that, and what means nothing. */
const wishes: readonly (readonly [name: string, wish: Wish, granted: readonly string[], refusal: RegExp])[] = [
  ["the host's network", { network: opspb.NetMode.HOST }, ["network.host"], /network\.host is not allowed/],
  ["all privileges", { security: opspb.SecurityMode.INSECURE }, ["security.insecure"], /security\.insecure is not/],
  ["a security mode that nobody knows", { security: 7 as 0 }, [], /invalid security mode 7/],
  ["a negative security mode", { security: -1 as 0 }, [], /invalid security mode -1/],
  ["a network mode that nobody knows", { network: 9 as 0 }, [], /unknown network mode 9/],
];

const encode = (op: MessageInitShape<typeof OpSchema>): Uint8Array => toBinary(OpSchema, create(OpSchema, op));
const graph = (...ops: readonly Uint8Array[]): Definition => {
  const end = encode({ inputs: ops.slice(-1).map((op) => ({ digest: digestOf(op), index: 0n })) });
  const metadata = Object.fromEntries([...ops, end].map((op) => [digestOf(op), {}]));
  return create(DefinitionSchema, { def: [...ops, end], metadata });
};
/** A step on nothing: it would fail, could it begin. */
const step = (wish: Wish): Definition => {
  const mounts = [{ dest: "/", input: -1n, output: 0n }];
  return graph(encode({ op: { case: "exec", value: { meta: { args: ["/x"], cwd: "/" }, mounts, ...wish } } }));
};
const mkfile = (data: Uint8Array): Uint8Array => {
  const action = {
    case: "mkfile",
    value: { path: "/buildkit.llb.definition", mode: 0o600, data, timestamp: -1n },
  } as const;
  return encode({
    op: { case: "file", value: { actions: [{ input: -1n, secondaryInput: -1n, output: 0n, action }] } },
  });
};
/** A build whose graph comes from a file that another step wrote. */
const nested = (wish: Wish): Definition => {
  const file = mkfile(toBinary(DefinitionSchema, step(wish)));
  const build = encode({
    inputs: [{ digest: digestOf(file), index: 0n }],
    op: { case: "build", value: { builder: -1n, inputs: { "buildkit.llb.definition": { input: 0n } } } },
  });
  return graph(file, build);
};

/** GHSA-wr6v-9f75-vh2g (CVE-2024-23653): a frontend's containers were not asked for entitlements. */
suite("entitlements", () => {
  const owned = ownedBySuite();
  const folder = owned.use(temporaryFolder("ghsa-wr6v"));
  const signal = AbortSignal.timeout(120_000);
  let daemon: TestDaemon;

  before(async () => {
    writeFileSync(join(folder.path, "none.toml"), 'insecure-entitlements = ["network.host", "security.insecure"]\n');
    daemon = owned.use(await TestDaemon.start(folder.path));
  });

  const asFrontend = async (
    work: (gateway: GatewayClient) => Promise<void>,
    entitlements: readonly string[],
  ): Promise<string> => {
    let failure = "";
    await solve(daemon, {
      entitlements,
      run: async (gateway) => {
        await work(gateway).catch((error: unknown) => (failure = BuildError.from(error).message));
        return create(ResultSchema);
      },
    });
    return failure;
  };
  const solveStep = async (definition: Definition, entitlements: readonly string[]): Promise<string> =>
    String((await solve(daemon, { definition, entitlements })).error);

  /** Every way in which somebody can have a process run. @returns the failure's text. */
  const ways: readonly (readonly [string, (wish: Wish, entitlements: readonly string[]) => Promise<string>])[] = [
    ["a client's graph", async (wish, entitlements) => await solveStep(step(wish), entitlements)],
    ["a graph from a step", async (wish, entitlements) => await solveStep(nested(wish), entitlements)],
    [
      "a frontend's graph",
      async (wish, entitlements) =>
        await asFrontend(async (gateway) => {
          await gateway.solve({ Definition: step(wish), Evaluate: true }, { signal });
        }, entitlements),
    ],
    [
      "a frontend's nested frontend",
      async (wish, entitlements) =>
        await asFrontend(async (gateway) => {
          const text = graph(mkfile(Buffer.from("FROM base\n")));
          const FrontendInputs = { base: step(wish), dockerfile: text, context: text };
          const FrontendOpt = { "context:base": "input:base", filename: "buildkit.llb.definition" };
          await gateway.solve({ Frontend: "dockerfile.v0", FrontendOpt, FrontendInputs, Evaluate: true }, { signal });
        }, entitlements),
    ],
    [
      "a frontend's container",
      async (wish, entitlements) =>
        await asFrontend(async (gateway) => {
          const container = {
            ContainerID: "c",
            Mounts: [{ dest: "/", resultID: "", input: -1n }],
            ...(wish.network !== undefined && { Network: wish.network }),
          };
          await gateway.newContainer(container, { signal });
          using call = gateway.execProcess({ signal });
          const init = {
            ContainerID: "c",
            Meta: { args: ["/x"], cwd: "/" },
            Fds: [],
            ...(wish.security !== undefined && { Security: wish.security }),
          };
          await call.send({ ProcessID: "p", Input: { case: "Init", value: init } });
          for await (const message of call.messages()) {
            if (message.Input.case === "Exit") throw new Error(message.Input.value.Error?.message ?? "it ran");
          }
        }, entitlements),
    ],
  ];

  for (const [way, attempt] of ways) {
    for (const [what, wish, granted, refusal] of wishes) {
      test(`${way} that asks for ${what} is refused without them`, async () => {
        for (const other of [[], ["network.host", "security.insecure"].filter((name) => !granted.includes(name))])
          assert.match(await attempt(wish, other), refusal);
        // With them the step begins, and fails since there is no program.
        if (granted.length > 0) assert.doesNotMatch(await attempt(wish, granted), /not allowed/);
      });
    }
  }

  test("are asked for by all code that has a process run", () => {
    const found = globSync("{packages,apps}/*/src/**/*.ts", { cwd: repository })
      .filter((file) => !/\.test\.ts$|\/testing\//.test(file))
      .filter((file) => /\bexecutor\.(?:run|exec)\(/.test(readFileSync(join(repository, file), "utf8")));
    // The first one's steps come through loadDefinition(), which asks; the second asks itself.
    assert.deepEqual(found.toSorted(), [
      "packages/worker/src/container/step-container.ts",
      "packages/worker/src/ops/exec-op.ts",
    ]);
  });
});
