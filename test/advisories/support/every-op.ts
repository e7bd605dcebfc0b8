import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type Definition,
  DefinitionSchema,
  FileActionSchema,
  FileOpSchema,
  type Op,
  OpSchema,
} from "@buildkit-ts/api/buildkit/ops";
import { digestOf } from "@buildkit-ts/oci";

/** An op as graphs hold it. */
export const encode = (op: MessageInitShape<typeof OpSchema>): Uint8Array => toBinary(OpSchema, create(OpSchema, op));
/** A graph of these ops, of which the last is the result. */
export const graph = (...ops: readonly Uint8Array[]): Definition => {
  const end = encode({ inputs: ops.slice(-1).map((op) => ({ digest: digestOf(op), index: 0n })) });
  const metadata = Object.fromEntries([...ops, end].map((op) => [digestOf(op), {}]));
  return create(DefinitionSchema, { def: [...ops, end], metadata });
};
/** What all of them are for. */
export const platform: { OS: string; Architecture: string; Variant: string; OSVersion: string; OSFeatures: string[] } =
  { OS: "linux", Architecture: "amd64", Variant: "v1", OSVersion: "1", OSFeatures: ["x"] };
const owner = { user: { user: { case: "byName", value: { name: "me", input: 0n } } } } as const;
const group = { group: { user: { case: "byID", value: 5 } } } as const;
/** An op that depends on nothing. */
export const base: Uint8Array = encode({
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
/** One op of each kind, with every field set, upon {@linkcode base}. */
export const ops: readonly (readonly [string, Op])[] = [
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
