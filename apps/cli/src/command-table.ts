import type { FlagSpec } from "./arguments/parse-arguments.ts";
import type { Command } from "./command.ts";

const formatFlag: FlagSpec = {
  name: "format",
  kind: "string",
  description: "Format the output by a Go template, such as '{{json .}}'",
};
const filterFlag: FlagSpec = { name: "filter", aliases: ["f"], kind: "list", description: "Show only what matches" };
const verboseFlag: FlagSpec = { name: "verbose", aliases: ["v"], kind: "boolean", description: "Show more" };
const progressFlag: FlagSpec = {
  name: "progress",
  kind: "string",
  default: "auto",
  description: "Kind of progress output: auto, plain, tty, rawjson, quiet",
};

const buildFlags: readonly FlagSpec[] = [
  {
    name: "output",
    aliases: ["o"],
    kind: "list",
    description: "Output, such as type=image,name=docker.io/me/app,push=true",
  },
  progressFlag,
  { name: "trace", kind: "string", description: "Append progress messages as JSON to a file" },
  { name: "local", kind: "list", description: "Let the build read a directory: name=path" },
  { name: "oci-layout", kind: "list", description: "Let the build read an OCI layout: id=path" },
  { name: "frontend", kind: "string", description: "Frontend, such as dockerfile.v0" },
  { name: "opt", kind: "list", description: "Option of the frontend, such as target=app or build-arg:name=value" },
  { name: "no-cache", kind: "boolean", description: "Use no cache" },
  { name: "export-cache", kind: "list", description: "Write a cache, such as type=registry,ref=example.com/me/cache" },
  { name: "import-cache", kind: "list", description: "Read a cache, such as type=local,src=path" },
  { name: "secret", kind: "list", description: "Secret for the build: id=name[,src=path|,env=name]" },
  { name: "allow", kind: "list", description: "Allow an entitlement: network.host, security.insecure, device" },
  { name: "ssh", kind: "list", description: "SSH agent for the build: default, or id=socket[,raw=true]" },
  { name: "metadata-file", kind: "string", description: "Write what exporters tell to a file, as JSON" },
  { name: "source-policy-file", kind: "string", description: "Read a source policy from a JSON file" },
  { name: "proxy-network", kind: "boolean", description: "Run the build behind the daemon's proxy" },
  { name: "ref-file", kind: "string", description: "Write the build's reference to a file" },
  {
    name: "registry-auth-tlscontext",
    kind: "list",
    description: "TLS for a token server: host=name,ca=path,cert=path,key=path,insecure=true",
  },
  { name: "explain", kind: "boolean", description: "Say why steps were executed and not cached" },
  { name: "debug-json-cache-metrics", kind: "string", description: "Write cache metrics to stdout, stderr or a file" },
  { name: "tag", aliases: ["t"], kind: "list", description: "Name of the image (short form)" },
  { name: "file", aliases: ["f"], kind: "string", description: "Dockerfile (short form)" },
  { name: "target", kind: "string", description: "Stage to build (short form)" },
  {
    name: "build-arg",
    kind: "list",
    description: "Build argument: name=value, or name from the environment (short form)",
  },
  { name: "platform", kind: "list", description: "Platform to build for (short form)" },
  { name: "label", kind: "list", description: "Label of the image: name=value (short form)" },
  { name: "push", kind: "boolean", description: "Push the image (short form)" },
  { name: "load", kind: "boolean", description: "Load the image into Docker (short form)" },
];

const debugCommands: readonly Command[] = [
  {
    name: "explain",
    description: "Say why the steps of a build were executed",
    usage: "REF",
    flags: [{ name: "format", kind: "string", description: "json for programs" }],
    load: async () => (await import("./commands/explain.ts")).explainBuild,
  },
  {
    name: "dump-llb",
    description: "Show a definition",
    usage: "[FILE|-]",
    flags: [{ name: "dot", kind: "boolean", description: "As a graph for dot" }],
    load: async () => (await import("./commands/dump-llb.ts")).dumpLlb,
  },
  {
    name: "workers",
    description: "List workers",
    flags: [filterFlag, verboseFlag, formatFlag],
    load: async () => (await import("./commands/workers.ts")).listWorkers,
  },
  {
    name: "info",
    description: "Show the daemon's version",
    flags: [formatFlag],
    load: async () => (await import("./commands/info.ts")).showInfo,
  },
  {
    name: "monitor",
    description: "Show builds as they come and go",
    flags: [
      { name: "completed", kind: "boolean", description: "Also those that are over" },
      { name: "ref", kind: "string", description: "Only this build" },
    ],
    load: async () => (await import("./commands/monitor.ts")).monitorBuilds,
  },
  {
    name: "logs",
    description: "Show a build's progress",
    usage: "<ref>",
    flags: [progressFlag, { name: "trace", kind: "boolean", description: "Its OpenTelemetry trace instead" }],
    load: async () => (await import("./commands/logs.ts")).showLogs,
  },
  {
    name: "ctl",
    description: "Pin, unpin or delete a build's record",
    usage: "<ref>",
    flags: [
      { name: "pin", kind: "boolean", description: "Keep it" },
      { name: "unpin", kind: "boolean", description: "Keep it no longer" },
      { name: "delete", kind: "boolean", description: "Delete it" },
    ],
    load: async () => (await import("./commands/ctl.ts")).controlRecord,
  },
  {
    name: "get",
    description: "Write a blob to standard output",
    usage: "<digest>",
    load: async () => (await import("./commands/get-blob.ts")).getBlob,
  },
  {
    name: "registry",
    description: "Show how the daemon reaches a registry, and why it does not",
    usage: "<host>",
    load: async () => (await import("./commands/check-registry.ts")).checkRegistry,
  },
  {
    name: "histories",
    description: "List builds",
    flags: [formatFlag],
    load: async () => (await import("./commands/histories.ts")).listHistories,
  },
];

/** All commands. */
export const commands: readonly Command[] = [
  {
    name: "du",
    description: "Show disk usage",
    flags: [filterFlag, verboseFlag, formatFlag],
    load: async () => (await import("./commands/disk-usage.ts")).showDiskUsage,
  },
  {
    name: "prune",
    description: "Delete cache records",
    flags: [
      { name: "keep-duration", kind: "string", description: "Keep what was used within this time, such as 48h" },
      { name: "keep-storage", kind: "number", description: "Delete until no more is used (in MB)" },
      { name: "keep-storage-min", kind: "number", description: "Always keep this much (in MB)" },
      { name: "free-storage", kind: "number", description: "Delete until so much is free (in MB)" },
      filterFlag,
      { name: "all", kind: "boolean", description: "Also internal and frontend records" },
      { name: "dry-run", kind: "boolean", description: "Delete nothing, show what would go" },
      { name: "explain", kind: "boolean", description: "With --dry-run: also what stays, and why" },
      verboseFlag,
      formatFlag,
    ],
    load: async () => (await import("./commands/prune.ts")).prune,
  },
  {
    name: "prune-histories",
    description: "Delete the records of builds that are not pinned",
    flags: [formatFlag],
    load: async () => (await import("./commands/prune-histories.ts")).pruneHistories,
  },
  {
    name: "build",
    aliases: ["b"],
    description: "Build",
    usage: "[PATH]",
    flags: buildFlags,
    load: async () => (await import("./commands/build.ts")).build,
  },
  { name: "debug", description: "Debug the daemon and builds", commands: debugCommands },
  {
    name: "dial-stdio",
    description: "Connect standard input and output with the daemon",
    hidden: true,
    load: async () => (await import("./commands/dial-stdio.ts")).dialStdio,
  },
];
