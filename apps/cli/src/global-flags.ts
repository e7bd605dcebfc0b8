import type { FlagSpec } from "./arguments/parse-arguments.ts";

/** Where a daemon listens unless told otherwise. */
export const defaultAddress = "unix:///run/buildkit/buildkitd.sock";

/** Flags before a command's name. */
export const globalFlags: readonly FlagSpec[] = [
  { name: "debug", kind: "boolean", description: "Show remote stack traces with errors" },
  {
    name: "addr",
    kind: "string",
    description: `buildkitd address (default: $BUILDKIT_HOST or "${defaultAddress}")`,
  },
  { name: "log-format", kind: "string", default: "text", description: "Log format: json or text" },
  { name: "tlsservername", kind: "string", description: "Server name to expect in the daemon's certificate" },
  { name: "tlscacert", kind: "string", description: "CA certificate to check the daemon by" },
  { name: "tlscert", kind: "string", description: "Client certificate" },
  { name: "tlskey", kind: "string", description: "Client key" },
  {
    name: "tlsdir",
    kind: "string",
    description: "Directory with ca.pem, cert.pem and key.pem, or ca.crt, tls.crt and tls.key",
  },
  { name: "timeout", kind: "number", default: 5, description: "Seconds to wait for a connection" },
  { name: "wait", kind: "boolean", description: "Wait until the daemon is ready" },
  { name: "help", aliases: ["h"], kind: "boolean", description: "Show help" },
  { name: "version", aliases: ["v"], kind: "boolean", description: "Print the version" },
];
