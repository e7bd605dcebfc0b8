import { readFileSync } from "node:fs";
import { BuildError } from "@buildkit-ts/errdefs";
import { parseBool } from "@buildkit-ts/gotext";
import type { SecretSource, SshAgentSource, TokenTls } from "@buildkit-ts/session/serving";
import { csvPairs } from "./csv-fields.ts";

/** Reads `--secret id=…,src=…`. @throws {BuildError} `invalid_argument` */
export function parseSecret(text: string): SecretSource {
  const fields: Record<string, string> = {};
  for (const [key, value] of csvPairs(text, (field) => `invalid field '${field}' must be a key=value pair`)) {
    const name = key === "source" ? "src" : key;
    if (!["type", "id", "src", "env"].includes(name)) {
      throw new BuildError("invalid_argument", `unexpected key '${key}' in '${key}=${value}'`);
    }
    if (name === "type" && value !== "file" && value !== "env") {
      throw new BuildError("invalid_argument", `unsupported secret type ${JSON.stringify(value)}`);
    }
    fields[name] = value;
  }
  const isVariable = fields["type"] === "env" && (fields["env"] ?? "") === "";
  const env = isVariable ? fields["src"] : fields["env"];
  const filePath = isVariable ? undefined : fields["src"];
  return {
    id: fields["id"] ?? "",
    ...(filePath && { filePath }),
    ...(env && { env }),
  };
}

/** Reads `--ssh default`, `--ssh id=socket`, `--ssh id=socket,raw=true` or `--ssh id=key[,key…]`. @throws {BuildError} `invalid_argument` */
export function parseSsh(text: string): SshAgentSource {
  const equals = text.indexOf("=");
  const id = equals < 0 ? text : text.slice(0, equals);
  const paths: string[] = [];
  let raw = false;
  for (const part of equals < 0 ? [] : text.slice(equals + 1).split(",")) {
    if (!part.startsWith("raw=")) {
      paths.push(part);
      continue;
    }
    const value = parseBool(part.slice("raw=".length));
    if (value === undefined) throw new BuildError("invalid_argument", `invalid value for 'raw': ${part.slice(4)}`);
    raw = value;
  }
  if (raw && paths.length !== 1) {
    throw new BuildError("invalid_argument", `raw mode must supply exactly one socket path for ${JSON.stringify(id)}`);
  }
  const given = paths.filter((path) => path !== "");
  return { id, raw, ...(given.length > 0 && { paths: given }) };
}

/** Reads all `--registry-auth-tlscontext`; several for one host add up. @throws {BuildError} `invalid_argument` */
export function parseRegistryTls(texts: readonly string[]): Map<string, TokenTls> {
  const byHost = new Map<string, TokenTls>();
  for (const text of texts) {
    const fields = Object.fromEntries(csvPairs(text, (field) => `invalid value ${field}`));
    const host = fields["host"] ?? "";
    checkRegistryTls(host, fields);
    const known = byHost.get(host) ?? {};
    const { ca, cert, key } = fields;
    const isInsecure = parseBool(fields["insecure"] ?? "") === true;
    byHost.set(host, {
      ...known,
      ...(ca && { ca: [...(known.ca ?? []), readFileSync(ca, "utf8")] }),
      ...(cert && key && { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") }),
      ...(isInsecure && { insecure: true }),
    });
  }
  return byHost;
}

function checkRegistryTls(host: string, fields: Readonly<Record<string, string>>): void {
  const flag = "--registry-auth-tlscontext requires";
  if (host === "") throw new BuildError("invalid_argument", `${flag} host=<host>`);
  const hasCert = Boolean(fields["cert"]);
  const hasKey = Boolean(fields["key"]);
  if (fields["ca"]) {
    if (hasCert !== hasKey) throw new BuildError("invalid_argument", `${flag} cert=<cert>,key=<key>`);
  } else if (parseBool(fields["insecure"] ?? "") !== true && !(hasCert && hasKey)) {
    throw new BuildError("invalid_argument", `${flag} ca=<ca> or cert=<cert>,key=<key> or insecure=true`);
  }
}

/** @throws {BuildError} `invalid_argument`, for an entitlement that does not exist. */
export function checkEntitlement(text: string): void {
  if (text === "network.host" || text === "security.insecure" || text === "device" || text.startsWith("device="))
    return;
  throw new BuildError("invalid_argument", `unknown entitlement ${text}`);
}
