import { BuildError } from "@buildkit-ts/errdefs";

/** A command whose standard input and output are a connection to a daemon. */
export interface DialCommand {
  readonly program: string;
  readonly args: readonly string[];
}

const dialStdio = ["buildctl", "dial-stdio"];

/**
 * The command for an address such as `docker-container://name`; undefined for schemes that need none.
 *
 * @throws {BuildError} `invalid_argument`, for parts of an address that the scheme does not have.
 */
export function dialCommand(address: string): DialCommand | undefined {
  const scheme = /^([a-z][a-z-]*):\/\//.exec(address)?.[1] ?? "";
  switch (scheme) {
    case "docker-container":
      return containerCommand(address, { program: "docker", option: "context" });
    case "podman-container":
      return containerCommand(address, { program: "podman", option: undefined });
    case "nerdctl-container":
      return nerdctlCommand(address);
    case "kube-pod":
      return podCommand(address);
    case "ssh":
      return sshCommand(address);
    default:
      return undefined;
  }
}

function parse(address: string): URL {
  // Foreign schemes keep their host as it is; only special ones are split as addresses of the web are.
  const url = URL.parse(address);
  if (url === null) throw new BuildError("invalid_argument", `invalid address ${address}`);
  return url;
}

function identifier(value: string, what: string): string {
  // Nothing that the program could take for one of its own options.
  if (value === "" || value.startsWith("-"))
    throw new BuildError("invalid_argument", `invalid ${what} ${JSON.stringify(value)}`);
  return value;
}

function containerCommand(
  address: string,
  { program, option }: { readonly program: string; readonly option: string | undefined },
): DialCommand {
  const url = parse(address);
  const name = identifier(decodeURIComponent(url.hostname), "container name");
  const context = option === undefined ? null : url.searchParams.get(option);
  const before = context === null || context === "" ? [] : ["--context", identifier(context, "context")];
  return { program, args: [...before, "exec", "-i", name, ...dialStdio] };
}

function nerdctlCommand(address: string): DialCommand {
  const url = parse(address);
  const name = identifier(decodeURIComponent(url.hostname), "container name");
  const namespace = url.searchParams.get("namespace") ?? "";
  const option = namespace === "" ? [] : ["--namespace", identifier(namespace, "namespace")];
  return { program: "nerdctl", args: ["exec", ...option, "-i", name, ...dialStdio] };
}

function podCommand(address: string): DialCommand {
  const url = parse(address);
  const args: string[] = [];
  const checked = (value: string): string => {
    if (/^[-a-z0-9.]+$/.test(value) && !value.startsWith("-")) return value;
    throw new BuildError(
      "invalid_argument",
      `unsupported pod name, context, namespace or container: ${JSON.stringify(value)}`,
    );
  };
  // A context's name may hold what a pod's may not.
  const context = url.searchParams.get("context") ?? "";
  if (context !== "") args.push(`--context=${identifier(context, "context")}`);
  const namespace = url.searchParams.get("namespace") ?? "";
  if (namespace !== "") args.push(`--namespace=${checked(namespace)}`);
  args.push("exec");
  const container = url.searchParams.get("container") ?? "";
  if (container !== "") args.push(`--container=${checked(container)}`);
  args.push("-i", checked(url.hostname), "--", ...dialStdio);
  return { program: "kubectl", args };
}

function sshCommand(address: string): DialCommand {
  const url = parse(address);
  const refuse = (what: string): never => {
    throw new BuildError("invalid_argument", `invalid ssh address: ${what} is not supported`);
  };
  if (url.password !== "") refuse("a password");
  if (url.search !== "") refuse("a query");
  if (url.hash !== "") refuse("a fragment");
  const args: string[] = [];
  if (url.username !== "") args.push("-l", decodeURIComponent(url.username));
  if (url.port !== "") args.push("-p", url.port);
  const socket = decodeURIComponent(url.pathname);
  const remote = socket === "" || socket === "/" ? [] : ["--addr", `unix://${socket}`];
  args.push("--", identifier(url.hostname, "host"), "buildctl", ...remote, "dial-stdio");
  return { program: "ssh", args };
}
