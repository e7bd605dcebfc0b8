import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectSocket } from "node:net";
import { after, before, suite, test } from "node:test";
import {
  clone,
  create,
  type DescMessage,
  type DescMethod,
  type Message,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { CacheOptionsEntrySchema, Control } from "@buildkit-ts/api/buildkit/control";
import { LLBBridge, ResultSchema } from "@buildkit-ts/api/buildkit/gateway";
import {
  type Definition,
  DefinitionSchema,
  FileActionSchema,
  FileOpSchema,
  type Op,
  OpSchema,
} from "@buildkit-ts/api/buildkit/ops";
import { PolicySchema } from "@buildkit-ts/api/buildkit/policy";
import { BuildError } from "@buildkit-ts/errdefs";
import { digestOf } from "@buildkit-ts/oci";
import { callUnary } from "@buildkit-ts/session/rpc";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { leftovers } from "../e2e/support/leftovers.ts";
import { temporaryFolder } from "../e2e/support/processes.ts";
import { solve } from "../e2e/support/solve.ts";

const isNightly = process.env["NIGHTLY"] === "1";

/** A message with one field changed, and what was done to it. */
interface Variant<D extends DescMessage> {
  readonly what: string;
  readonly message: MessageShape<D>;
}

const numbers = isNightly
  ? [-(2n ** 63n), -(2n ** 31n), -2n, -1n, 1n, 7n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 53n + 1n, 2n ** 63n - 1n]
  : [-2n, 2n ** 31n - 1n];

/** Every message that comes of one field of it, or of a message in it, being absent, empty or out of range. */
function variants<D extends DescMessage>(schema: D, base: MessageShape<D>): Variant<D>[] {
  const found: Variant<D>[] = [];
  const visit = (path: readonly string[], locate: (root: ReflectMessage) => ReflectMessage): void => {
    const change = (what: string, edit: (message: ReflectMessage) => void): void => {
      const message = clone(schema, base);
      edit(locate(reflect(schema, message)));
      found.push({ what: [...path, what].join("."), message });
    };
    for (const field of locate(reflect(schema, base)).fields) {
      const { name } = field;
      if (!locate(reflect(schema, base)).isSet(field)) continue;
      change(`${name} absent`, (message) => message.clear(field));
      if (field.fieldKind === "message") visit([...path, name], (root) => locate(root).get(field));
      else if (field.fieldKind === "enum") change(`${name} 99`, (message) => message.set(field, 99));
      else if (field.fieldKind === "scalar") {
        const isUnsigned = field.scalar === ScalarType.UINT32 || field.scalar === ScalarType.UINT64;
        for (const value of valuesFor(locate(reflect(schema, base)).get(field), isUnsigned))
          change(`${name} ${String(value)}`, (message) => message.set(field, value));
      } else if (field.fieldKind === "list" && field.listKind === "message") {
        change(`${name} of nothing`, (message) => message.get(field).set(0, reflect(field.message)));
        for (let index = 0; index < locate(reflect(schema, base)).get(field).size; index += 1)
          visit([...path, `${name}[${index}]`], (root) => locate(root).get(field).get(index) as ReflectMessage);
      }
    }
  };
  visit([], (root) => root);
  return found;
}

function valuesFor(value: unknown, isUnsigned: boolean): readonly unknown[] {
  if (typeof value === "string") return isNightly ? ["\0", "../..", "x".repeat(70_000)] : [];
  const inRange = numbers.filter((one) => !isUnsigned || one >= 0n);
  if (typeof value === "bigint") return inRange;
  return typeof value === "number" ? inRange.filter((one) => BigInt.asIntN(32, one) === one).map(Number) : [];
}

const encode = (op: MessageInitShape<typeof OpSchema>): Uint8Array => toBinary(OpSchema, create(OpSchema, op));
const graph = (...ops: readonly Uint8Array[]): Definition => {
  const end = encode({ inputs: ops.slice(-1).map((op) => ({ digest: digestOf(op), index: 0n })) });
  const metadata = Object.fromEntries([...ops, end].map((op) => [digestOf(op), {}]));
  return create(DefinitionSchema, { def: [...ops, end], metadata });
};
const platform = { OS: "linux", Architecture: "amd64", Variant: "v1", OSVersion: "1", OSFeatures: ["x"] };
const owner = { user: { user: { case: "byName", value: { name: "me", input: 0n } } } } as const;
const group = { group: { user: { case: "byID", value: 5 } } } as const;
const base = encode({
  op: {
    case: "file",
    value: {
      actions: [
        {
          input: -1n,
          secondaryInput: -1n,
          output: 0n,
          action: { case: "mkdir", value: { path: "/a", mode: 0o755, makeParents: true, timestamp: -1n } },
        },
      ],
    },
  },
});
const inputs = [
  { digest: digestOf(base), index: 0n },
  { digest: digestOf(base), index: 0n },
];
const indexes = { input: 0n, secondaryInput: 1n, output: 0n };
const actions = [
  create(FileActionSchema, {
    ...indexes,
    action: { case: "mkdir", value: { path: "/b", mode: 0o755, owner: { ...owner, ...group }, timestamp: 5n } },
  }),
  create(FileActionSchema, {
    ...indexes,
    action: { case: "mkfile", value: { path: "/c", mode: 0o644, data: Buffer.from("x"), owner, timestamp: 5n } },
  }),
  create(FileActionSchema, {
    ...indexes,
    action: { case: "rm", value: { path: "/a", allowNotFound: true, allowWildcard: true } },
  }),
  create(FileActionSchema, {
    ...indexes,
    action: { case: "symlink", value: { oldpath: "/a", newpath: "/s", owner: group, timestamp: 5n } },
  }),
  create(FileActionSchema, {
    ...indexes,
    action: {
      case: "copy",
      value: {
        src: "/a",
        dest: "/d",
        mode: 0o644,
        modeStr: "u+x",
        timestamp: 5n,
        owner: { ...owner, ...group },
        includePatterns: ["*"],
        excludePatterns: ["x"],
        allowWildcard: true,
        createDestPath: true,
      },
    },
  }),
].map((action): readonly [string, Op] => [
  `${action.action.case} of files`,
  create(OpSchema, { inputs, platform, op: { case: "file", value: create(FileOpSchema, { actions: [action] }) } }),
]);
const ops: readonly (readonly [string, Op])[] = [
  ...actions,
  [
    "exec",
    create(OpSchema, {
      inputs,
      platform,
      op: {
        case: "exec",
        value: {
          meta: {
            args: ["/x"],
            env: ["A=b"],
            cwd: "/",
            user: "0:0",
            proxyEnv: { httpProxy: "x" },
            extraHosts: [{ Host: "h", IP: "1.2.3.4" }],
            hostname: "h",
            ulimit: [{ Name: "nofile", Soft: 100n, Hard: 100n }],
            cgroupParent: "p",
            validExitCodes: [1],
          },
          mounts: [
            { dest: "/", input: 0n, output: 0n },
            { dest: "/m", input: 1n, selector: "a", readonly: true, output: -1n },
            { dest: "/c", input: -1n, output: -1n, mountType: 3, cacheOpt: { ID: "c", sharing: 1 } },
            { dest: "/t", input: -1n, output: -1n, mountType: 4, TmpfsOpt: { size: 4096n } },
            { dest: "/s", input: -1n, output: -1n, mountType: 1, secretOpt: { ID: "s", optional: true, mode: 0o400 } },
            { dest: "/k", input: -1n, output: -1n, mountType: 2, SSHOpt: { ID: "k", optional: true, mode: 0o600 } },
          ],
          secretenv: [{ ID: "s", name: "S", optional: true }],
          cdiDevices: [{ name: "vendor.com/class=x", optional: true }],
        },
      },
    }),
  ],
  [
    "source",
    create(OpSchema, { platform, op: { case: "source", value: { identifier: "local://nothing", attrs: { a: "b" } } } }),
  ],
  ["merge", create(OpSchema, { inputs, op: { case: "merge", value: { inputs: [{ input: 0n }, { input: 1n }] } } })],
  ["diff", create(OpSchema, { inputs, op: { case: "diff", value: { lower: { input: 0n }, upper: { input: 1n } } } })],
  [
    "build",
    create(OpSchema, {
      inputs,
      op: {
        case: "build",
        value: { builder: -1n, inputs: { x: { input: 0n } }, def: { def: [] }, attrs: { "llb.filename": "f" } },
      },
    }),
  ],
  ["passthrough", create(OpSchema, { inputs, op: { case: "passthrough", value: { id: "x", outputs: [0n, 1n] } } })],
];

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
