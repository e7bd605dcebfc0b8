import { readFileSync, realpathSync, statSync } from "node:fs";
import { fromBinary, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type Definition, DefinitionSchema } from "@buildkit-ts/api/buildkit/ops";
import { PolicySchema } from "@buildkit-ts/api/buildkit/policy";
import type { BuildRequest } from "@buildkit-ts/client";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  type Attachable,
  DockerConfig,
  forwardAgents,
  provideRegistryAuth,
  provideSecrets,
} from "@buildkit-ts/session/serving";
import { pairsFromArguments } from "./csv-fields.ts";
import type { ParsedArguments } from "./parse-arguments.ts";
import { checkEntitlement, parseRegistryTls, parseSecret, parseSsh } from "./parse-attachables.ts";
import { parseCache } from "./parse-cache.ts";
import { parseOutput } from "./parse-output.ts";
import { sharedKeyOf } from "./shared-key.ts";
import { addShortForm, type BuildShape, isShortForm } from "./short-form.ts";

/** Reads the flags of `buildctl build`. @throws {BuildError} `invalid_argument` */
export function parseBuild(
  args: ParsedArguments,
  options: { readonly onCredentialUse: (name: string) => void },
): BuildRequest {
  const shape = buildShape(args);
  for (const allowed of args.list("allow")) checkEntitlement(allowed);
  const definition = shape.frontend === "" ? readDefinition(args) : undefined;
  if (shape.frontend !== "" && args.boolean("no-cache")) shape.attributes["no-cache"] = "";
  const policyPath = args.string("source-policy-file");
  const sharedKey = sharedKeyOf(shape.directories);
  return {
    ...shape,
    sharedKey,
    attachables: attachables(args, options.onCredentialUse),
    cacheExports: args.list("export-cache").map((text) => parseCache(text, "export-cache")),
    cacheImports: args.list("import-cache").map((text) => parseCache(text, "import-cache")),
    ociLayouts: pairsFromArguments(args.list("oci-layout")),
    entitlements: args.list("allow"),
    proxyNetwork: args.boolean("proxy-network"),
    ...(definition !== undefined && { definition }),
    ...(policyPath !== "" && { sourcePolicy: readPolicy(policyPath) }),
  };
}

function buildShape(args: ParsedArguments): BuildShape {
  const directories: Record<string, string> = {};
  const shape: BuildShape = {
    frontend: args.string("frontend"),
    attributes: frontendAttributes(args.list("opt")),
    directories: pairsFromArguments(args.list("local")),
    exports: args.list("output").map(parseOutput),
  };
  const full = isShortForm(args) ? addShortForm(args, shape) : shape;
  for (const [name, path] of Object.entries(full.directories)) directories[name] = existingDirectory(path);
  return { ...full, directories };
}

/** A build argument without a value takes it from the environment, and is left out if it is not set there. */
function frontendAttributes(values: readonly string[]): Record<string, string> {
  const attributes: Record<string, string> = {};
  const epoch = process.env["SOURCE_DATE_EPOCH"];
  if (epoch !== undefined) attributes["build-arg:SOURCE_DATE_EPOCH"] = epoch;
  const complete = values.flatMap((value) => {
    const name = /^build-arg:([^=]+)$/.exec(value)?.[1];
    if (name === undefined) return [value];
    const fromEnvironment = process.env[name];
    return fromEnvironment === undefined ? [] : [`${value}=${fromEnvironment}`];
  });
  return { ...attributes, ...pairsFromArguments(complete) };
}

function existingDirectory(path: string): string {
  try {
    const real = realpathSync(path);
    if (statSync(real).isDirectory()) return real;
  } catch (error) {
    throw new BuildError("invalid_argument", `Cannot use directory "${path}": no such file or directory`, {
      cause: error,
    });
  }
  throw new BuildError("invalid_argument", `Cannot use directory "${path}": not a directory`);
}

function attachables(args: ParsedArguments, onUse: (name: string) => void): Attachable[] {
  const tls = parseRegistryTls(args.list("registry-auth-tlscontext"));
  const list = [provideRegistryAuth({ config: new DockerConfig(), tls, onUse })];
  const agents = args.list("ssh");
  if (agents.length > 0) list.push(forwardAgents(agents.map(parseSsh)));
  const secrets = args.list("secret");
  if (secrets.length > 0) list.push(provideSecrets(secrets.map(parseSecret)));
  return list;
}

function readDefinition(args: ParsedArguments): Definition {
  if (process.stdin.isTTY) {
    throw new BuildError("invalid_argument", "please specify --frontend or pipe LLB definition to stdin");
  }
  const definition = parseDefinitionBytes(readFileSync(0));
  if (definition.def.length === 0) {
    throw new BuildError("invalid_argument", "empty definition sent to build. Specify --frontend instead?");
  }
  if (args.boolean("no-cache")) for (const metadata of Object.values(definition.metadata)) metadata.ignoreCache = true;
  return definition;
}

function parseDefinitionBytes(bytes: Uint8Array): Definition {
  try {
    return fromBinary(DefinitionSchema, bytes);
  } catch (error) {
    throw new BuildError("invalid_argument", "failed to parse input: malformed definition", { cause: error });
  }
}

function readPolicy(path: string): NonNullable<BuildRequest["sourcePolicy"]> {
  try {
    return fromJson(PolicySchema, JSON.parse(readFileSync(path, "utf8")) as JsonValue);
  } catch (error) {
    const message = `failed to unmarshal source-policy-file ${JSON.stringify(path)}`;
    throw new BuildError("invalid_argument", message, { cause: error });
  }
}
