import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";

/** How Docker Hub is called in configuration files, and by which host its registry is reached. */
const hubConfigKey = "https://index.docker.io/v1/";
const hubHost = "registry-1.docker.io";

/** A helper may ask its user for a password, but not for ever. */
const helperTimeoutMs = 120_000;
const cacheMs = 290_000;

/** What the user's Docker configuration knows about a registry. */
export interface DockerAuth {
  readonly username: string;
  readonly password: string;
  readonly identityToken: string;
  readonly registryToken: string;
}

const noAuth: DockerAuth = { username: "", password: "", identityToken: "", registryToken: "" };

interface ConfigFile {
  readonly auths: Readonly<Record<string, unknown>>;
  readonly credHelpers: Readonly<Record<string, unknown>>;
  readonly credsStore: string;
}

/** The user's `config.json` of Docker, with its credential helpers. */
export class DockerConfig {
  readonly directory: string;
  readonly #cache = new Map<string, { readonly auth: DockerAuth; readonly at: number }>();
  #file: ConfigFile | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: { readonly directory?: string } = {}) {
    this.directory = options.directory ?? (process.env["DOCKER_CONFIG"] || join(homedir(), ".docker"));
  }

  /** Everything empty for a registry that nothing is known about. */
  async authFor(host: string, options: { readonly signal: AbortSignal }): Promise<DockerAuth> {
    // One helper at a time: those of some systems hang when several run side by side.
    const turn = this.#last.then(async () => await this.#lookUp(host, options));
    this.#last = turn.catch(() => undefined);
    return await turn;
  }

  async #lookUp(host: string, options: { readonly signal: AbortSignal }): Promise<DockerAuth> {
    const key = host === hubHost ? hubConfigKey : host;
    const known = this.#cache.get(key);
    if (known !== undefined && Date.now() - known.at < cacheMs) return known.auth;
    this.#file ??= await readConfig(join(this.directory, "config.json"));
    const helper = this.#file.credHelpers[key] ?? this.#file.credsStore;
    const auth =
      typeof helper === "string" && helper !== ""
        ? await askHelper(helper, key, options)
        : authFromFile(this.#file.auths, key);
    this.#cache.set(key, { auth, at: Date.now() });
    return auth;
  }
}

async function readConfig(path: string): Promise<ConfigFile> {
  let parsed: Record<string, unknown>;
  try {
    parsed = recordOf(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) {
      throw new BuildError("failed_precondition", `Cannot read Docker configuration "${path}"`, { cause: error });
    }
    parsed = {};
  }
  return {
    auths: recordOf(parsed["auths"]),
    credHelpers: recordOf(parsed["credHelpers"]),
    credsStore: textOf(parsed["credsStore"]),
  };
}

function authFromFile(auths: Readonly<Record<string, unknown>>, key: string): DockerAuth {
  const name = Object.hasOwn(auths, key) ? key : Object.keys(auths).find((candidate) => hostOf(candidate) === key);
  if (name === undefined) return noAuth;
  const entry = recordOf(auths[name]);
  const decoded = Buffer.from(textOf(entry["auth"]), "base64").toString("utf8");
  const colon = decoded.indexOf(":");
  return {
    username: colon < 0 ? textOf(entry["username"]) : decoded.slice(0, colon),
    password: colon < 0 ? textOf(entry["password"]) : decoded.slice(colon + 1).replace(/\0+$/, ""),
    identityToken: textOf(entry["identitytoken"]),
    registryToken: textOf(entry["registrytoken"]),
  };
}

function hostOf(address: string): string {
  return address.replace(/^https?:\/\//, "").split("/")[0] ?? "";
}

async function askHelper(
  helper: string,
  serverUrl: string,
  options: { readonly signal: AbortSignal },
): Promise<DockerAuth> {
  if (!/^[\w.-]+$/.test(helper)) throw new BuildError("invalid_argument", `Cannot run credential helper "${helper}"`);
  const { code, stdout } = await runHelper(`docker-credential-${helper}`, serverUrl, options);
  if (code !== 0) {
    if (stdout.includes("credentials not found")) return noAuth;
    const message = `error getting credentials - err: exit status ${code}, out: \`${stdout.trim()}\``;
    throw new BuildError("unknown", message);
  }
  const answer = recordOf(JSON.parse(stdout));
  const username = textOf(answer["Username"]);
  const secret = textOf(answer["Secret"]);
  if (username === "<token>") return { ...noAuth, identityToken: secret };
  return { ...noAuth, username, password: secret };
}

async function runHelper(
  program: string,
  input: string,
  options: { readonly signal: AbortSignal },
): Promise<{ readonly code: number; readonly stdout: string }> {
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(helperTimeoutMs)]);
  return await new Promise((resolve, reject) => {
    const child = spawn(program, ["get"], { stdio: ["pipe", "pipe", "inherit"], signal });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (stdout.length < 1 << 20) stdout += text;
    });
    child.once("error", (error) => {
      reject(new BuildError("unknown", `error getting credentials - err: ${error.message}`, { cause: error }));
    });
    child.once("close", (code) => resolve({ code: code ?? -1, stdout }));
    // A helper that ends without reading its input has its say by its exit code.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
