import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectSocket } from "node:net";
import { after, before, suite, test } from "node:test";
import {
  create,
  type DescMessage,
  type DescMethod,
  type Message,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { CacheOptionsEntrySchema, Control } from "@buildkit-ts/api/buildkit/control";
import { LLBBridge, ResultSchema } from "@buildkit-ts/api/buildkit/gateway";
import { OpSchema } from "@buildkit-ts/api/buildkit/ops";
import { PolicySchema } from "@buildkit-ts/api/buildkit/policy";
import { BuildError } from "@buildkit-ts/errdefs";
import { callUnary } from "@buildkit-ts/session/rpc";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { leftovers } from "../e2e/support/leftovers.ts";
import { temporaryFolder } from "../e2e/support/processes.ts";
import { solve } from "../e2e/support/solve.ts";
import { base, graph, ops, platform } from "./support/every-op.ts";
import { variants } from "./support/message-variants.ts";

/**
 * GHSA-9p26-698r-w4hx (CVE-2024-23650) and GHSA-qx3x-mv6r-52p6 (CVE-2026-15792): what was absent, or an index out of range,
 * ended the daemon.
 */
suite("messages that lack something, or whose numbers are out of range", () => {
  const folder = temporaryFolder("ghsa-9p26");
  const signal = AbortSignal.timeout(600_000);
  let daemon: TestDaemon;

  before(async () => {
    daemon = await TestDaemon.start(folder.path);
  });

  after(async () => {
    assert.deepEqual(leftovers(daemon.root), []);
    assert.doesNotMatch(daemon.log(), /unhandled|TypeError|RangeError/i);
    await daemon[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const assertRefused = (error: unknown, what: string): void => {
    if (error === undefined) return;
    assert.ok(error instanceof Error && "code" in error, what);
    const told = BuildError.from(error);
    assert.ok(
      !["internal", "unavailable", "deadline_exceeded"].includes(told.code),
      `${what}: ${told.code} ${told.message}`,
    );
    assert.doesNotMatch(told.message, /undefined|is not a function|Cannot read prop|\bBigInt\b|\bNaN\b|\[object/, what);
  };

  for (const [name, op] of ops) {
    test(`an operation, ${name}`, async () => {
      for (const { what, message } of variants(OpSchema, op)) {
        const { error } = await solve(daemon, { definition: graph(base, toBinary(OpSchema, message)) });
        assertRefused(error, what);
      }
    });
  }

  /** A connection for calls that our clients never make. */
  const call = async <I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageShape<I>,
  ): Promise<unknown> => {
    const path = daemon.address.slice("unix://".length);
    const connection = connectHttp2("http://localhost", { createConnection: () => connectSocket(path) });
    try {
      const limited = AbortSignal.timeout(10_000);
      await callUnary(connection, { method, request: request as MessageInitShape<I> }, { signal: limited });
      return undefined;
    } catch (error) {
      return error;
    } finally {
      connection.destroy();
    }
  };

  test("a build's request", async () => {
    const request = create(Control.method.solve.input, {
      Ref: "request",
      Session: "nobody",
      Frontend: "dockerfile.v0",
      Definition: graph(base),
      FrontendAttrs: { filename: "x" },
      FrontendInputs: { context: graph(base) },
      Cache: {
        Exports: [create(CacheOptionsEntrySchema, { Type: "inline", Attrs: { mode: "max" } })],
        Imports: [{ Type: "registry", Attrs: { ref: "127.0.0.1:1/x" } }],
      },
      Exporters: [{ Type: "image", Attrs: { name: "x" } }],
      Entitlements: ["network.host"],
      SourcePolicy: create(PolicySchema, {
        rules: [
          {
            action: 1,
            selector: { identifier: "x", matchType: 1, constraints: [{ key: "a", value: "b", condition: 1 }] },
            updates: { identifier: "y", attrs: { a: "b" } },
          },
        ],
      }),
      SourcePolicySession: "nobody",
    });
    for (const { what, message } of variants(Control.method.solve.input, request))
      assertRefused(await call(Control.method.solve, { ...message, Ref: `${message.Ref}${what}` }), what);
  });

  test("all other calls, with nothing in them", async () => {
    for (const method of [...Control.methods, ...LLBBridge.methods]) {
      if (method.methodKind === "bidi_streaming" || method.methodKind === "client_streaming") continue;
      // Streams that go on until the client leaves are ended by it.
      if (method.methodKind === "server_streaming") continue;
      assertRefused(await call(method, create(method.input)), method.name);
    }
  });

  test("a frontend's calls", async () => {
    const failures: (readonly [string, unknown])[] = [];
    await solve(daemon, {
      signal,
      run: async (gateway) => {
        const { root = "" } = refOf(await gateway.solve({ Definition: graph(base) }, { signal }));
        const attempt = async (
          what: string,
          work: (options: { readonly signal: AbortSignal }) => Promise<unknown>,
        ): Promise<void> => {
          const signal = AbortSignal.timeout(10_000);
          failures.push([
            what,
            await work({ signal }).then(
              () => undefined,
              (error: unknown) => error,
            ),
          ]);
        };
        const solveRequest = create(LLBBridge.method.solve.input, {
          Definition: graph(base),
          Frontend: "dockerfile.v0",
          FrontendOpt: { a: "b" },
          FrontendInputs: { x: graph(base) },
          CacheImports: [{ Type: "registry", Attrs: { ref: "127.0.0.1:1/x" } }],
          SourcePolicies: [{ rules: [{ action: 1, selector: { identifier: "x" }, updates: { identifier: "y" } }] }],
          Evaluate: true,
        });
        const container = create(LLBBridge.method.newContainer.input, {
          ContainerID: "c",
          Mounts: [
            { dest: "/", resultID: root },
            { dest: "/c", mountType: 3, cacheOpt: { ID: "x" } },
          ],
          platform,
          constraints: { filter: ["x"] },
          extraHosts: [{ Host: "h", IP: "1.2.3.4" }],
        });
        const meta = create(LLBBridge.method.resolveSourceMeta.input, {
          Source: { identifier: "docker-image://127.0.0.1:1/x", attrs: { a: "b" } },
          Platform: platform,
          Image: { NoConfig: false },
          ResolveMode: "local",
          SourcePolicies: [{ rules: [{ selector: { identifier: "x" } }] }],
        });
        for (const { what, message } of variants(LLBBridge.method.solve.input, solveRequest))
          await attempt(`solve ${what}`, async (options) => await gateway.solve(message, options));
        for (const { what, message } of variants(LLBBridge.method.resolveSourceMeta.input, meta))
          await attempt(`meta ${what}`, async (options) => await gateway.resolveSourceMetadata(message, options));
        for (const { what, message } of variants(LLBBridge.method.newContainer.input, container)) {
          await attempt(`container ${what}`, async (options) => await gateway.newContainer(message, options));
          await gateway.releaseContainer(message.ContainerID, { signal }).catch(() => undefined);
        }
        for (const ref of ["", "nobody", root]) {
          await attempt("read", async (options) => await gateway.readFile({ ref, path: "" }, options));
          await attempt(
            "range",
            async () => await gateway.readFile({ ref, path: "/a", offset: -5, length: -1 }, { signal }),
          );
          await attempt("directory", async (options) => await gateway.readDirectory({ ref, path: "\0" }, options));
          await attempt("stat", async (options) => await gateway.stat({ ref, path: "../.." }, options));
          await attempt("evaluate", async (options) => await gateway.evaluate(ref, options));
        }
        await attempt("warn", async (options) => await gateway.warn({}, options));
        await attempt(
          "warning",
          async (options) => await gateway.warn({ digest: "x", info: {}, ranges: [{}] }, options),
        );
        await attempt("config", async (options) => await gateway.resolveImageConfig({}, options));
        for (const input of [
          {},
          { Input: { case: "Init", value: {} } },
          { ProcessID: "p", Input: { case: "Init", value: { Meta: {} } } },
        ] as const)
          await attempt(`process ${JSON.stringify(input)}`, async (options) => {
            using process = gateway.execProcess(options);
            await process.send(input);
            for await (const message of process.messages()) if (message.Input.case === "Exit") return;
          });
        return create(ResultSchema);
      },
    });
    assert.ok(failures.length > 60, String(failures.length));
    for (const [what, error] of failures) assertRefused(error, what);
  });

  test("a frontend's result", async () => {
    const results: readonly MessageInitShape<typeof ResultSchema>[] = [
      {},
      { result: { case: "refDeprecated", value: "nobody" } },
      { result: { case: "refsDeprecated", value: {} } },
      { result: { case: "ref", value: {} } },
      { result: { case: "ref", value: { id: "nobody", def: {} } } },
      { result: { case: "refs", value: { refs: { x: {} } } } },
      { attestations: { x: { attestation: [{}] } } },
      { attestations: { x: {} } },
      { metadata: { "containerimage.config": Buffer.from("null"), "refs.platforms": Buffer.from("null") } },
      { metadata: { "refs.platforms": Buffer.from('{"Platforms":[null]}') } },
      { metadata: { "refs.platforms": Buffer.from('{"Platforms":[{"ID":"x","Platform":null}]}') } },
      { metadata: { "containerimage.config": Buffer.from('{"rootfs":null,"config":null,"history":[null]}') } },
    ];
    for (const result of results) {
      const exports = [{ type: "image", attributes: { name: "x" } }] as const;
      const { error } = await solve(daemon, { run: async () => create(ResultSchema, result), exports });
      assertRefused(error, JSON.stringify(result));
    }
  });
});

function refOf(result: Message & { readonly result?: unknown }): { readonly root?: string } {
  const { value } = (result.result ?? {}) as { readonly value?: { readonly id?: string } };
  return value?.id === undefined ? {} : { root: value.id };
}
