import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { endProcess, freePort, runOk } from "./processes.ts";

/** Runs git in a repository, as somebody whom commits can be by. */
export function gitIn(directory: string, ...args: readonly string[]): string {
  const who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com", "-c", "protocol.file.allow=always"];
  const env = { ...process.env, GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" };
  return execFileSync("git", [...who, ...args], { cwd: directory, encoding: "utf8", env, stdio: "pipe" }).trim();
}

/** A new repository with one commit of these files. */
export function makeRepository(directory: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(directory, { recursive: true });
  gitIn(directory, "init", "-q", "-b", "main");
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(directory, name, ".."), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  gitIn(directory, "add", ".");
  gitIn(directory, "commit", "-q", "-m", "files");
}

/** An OpenSSH server on a loopback port that lets one key in. */
export class SshServer implements AsyncDisposable {
  readonly port: number;
  /** For `known_hosts`. */
  readonly hostKey: string;
  readonly user: string = userInfo().username;
  readonly #child: ChildProcess;

  private constructor(port: number, hostKey: string, child: ChildProcess) {
    this.port = port;
    this.hostKey = hostKey;
    this.#child = child;
  }

  static async start(folder: string, publicKey: string): Promise<SshServer> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    // Debian's server wants it, and makes it at boot only.
    mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    const port = await freePort();
    const hostKeyPath = join(folder, "host_key");
    await runOk("ssh-keygen", ["-q", "-N", "", "-t", "ed25519", "-f", hostKeyPath]);
    writeFileSync(join(folder, "authorized_keys"), publicKey, { mode: 0o600 });
    const settings = {
      Port: String(port),
      ListenAddress: "127.0.0.1",
      HostKey: hostKeyPath,
      AuthorizedKeysFile: join(folder, "authorized_keys"),
      PidFile: "none",
      PasswordAuthentication: "no",
      StrictModes: "no",
      UsePAM: "no",
      PermitRootLogin: "prohibit-password",
    };
    const config = join(folder, "sshd_config");
    writeFileSync(
      config,
      Object.entries(settings)
        .map(([key, value]) => `${key} ${value}\n`)
        .join(""),
    );
    const child = spawn("/usr/sbin/sshd", ["-D", "-e", "-f", config], { stdio: "ignore" });
    await untilListening(port);
    const [type = "", key = ""] = readFileSync(`${hostKeyPath}.pub`, "utf8").split(" ");
    return new SshServer(port, `[127.0.0.1]:${port} ${type} ${key}`, child);
  }

  url(path: string): string {
    return `ssh://${this.user}@127.0.0.1:${this.port}${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#child);
  }
}

async function untilListening(port: number): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const answered = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.on("error", () => resolve(false));
    });
    if (answered) return;
    if (attempt > 500) throw new Error(`nothing listens on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Git's smart HTTP protocol for the repositories below a folder, behind one user's token. */
export class HttpGitServer implements AsyncDisposable {
  readonly url: string;
  /** The `Authorization` headers that came, as often as they came. */
  readonly authorizations: string[] = [];
  readonly #server: Server;

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  static async start(root: string, options: { readonly token?: string } = {}): Promise<HttpGitServer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    const served = new HttpGitServer(server, `http://127.0.0.1:${address.port}`);
    const expected =
      options.token === undefined
        ? undefined
        : `Basic ${Buffer.from(`x-access-token:${options.token}`).toString("base64")}`;
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      const { authorization = "" } = request.headers;
      served.authorizations.push(authorization);
      if (expected !== undefined && authorization.toLowerCase() !== expected.toLowerCase()) {
        response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end();
        return;
      }
      answerGit(root, request, response);
    });
    return served;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** Hands a request to git's own CGI program. */
function answerGit(root: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://localhost");
  const child = spawn("git", ["http-backend"], {
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "safe.directory",
      GIT_CONFIG_VALUE_0: "*",
      REQUEST_METHOD: request.method ?? "GET",
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
      GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
    },
    stdio: ["pipe", "pipe", "ignore"],
  });
  child.stdin.on("error", () => undefined);
  request.pipe(child.stdin);
  let head: Buffer = Buffer.alloc(0);
  let isHeadDone = false;
  child.stdout.on("data", (chunk: Buffer) => {
    if (isHeadDone) {
      response.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    isHeadDone = true;
    let status = 200;
    for (const line of head.subarray(0, end).toString("latin1").split("\r\n")) {
      const [name = "", value = ""] = line.split(": ");
      if (name.toLowerCase() === "status") status = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.writeHead(status);
    response.write(head.subarray(end + 4));
  });
  child.stdout.on("end", () => response.end());
}
