import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StoreAttributes } from "../object-store.ts";
import { isSignedWith, type SigningKey } from "./signature-v4.ts";
import { TestProcess } from "./test-process.ts";

/**
 * A server with the protocol of S3 and one bucket. It does not check signatures of the present version, so that what
 * stands before it does.
 */
export class S3Server implements AsyncDisposable {
  readonly bucket = "cache-bucket";
  readonly key: SigningKey = { accessKeyId: "S3RVER", secretAccessKey: "not/a+secret" };
  /** Requests as they came, such as `HEAD /cache-bucket/blobs/…`. */
  readonly requests: string[] = [];
  readonly endpointUrl: string;
  readonly #process: TestProcess;
  readonly #gate: Server;
  readonly #folder: string;

  private constructor(parts: { readonly process: TestProcess; readonly gate: Server; readonly folder: string }) {
    this.#process = parts.process;
    this.#gate = parts.gate;
    this.#folder = parts.folder;
    const address = parts.gate.address();
    this.endpointUrl = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
    parts.gate.on("request", (message, response) => this.#answer(message, response));
  }

  static async start(): Promise<S3Server> {
    const folder = mkdtempSync(join(tmpdir(), "buildkit-ts-s3-"));
    const flags = ["-d", folder, "-a", "127.0.0.1", "--no-vhost-buckets", "--configure-bucket", "cache-bucket", "-s"];
    const process = await TestProcess.start("s3rver/bin/s3rver.js", (port) => [...flags, "-p", String(port)]);
    const gate = createServer();
    await new Promise<void>((resolve) => gate.listen(0, "127.0.0.1", resolve));
    return new S3Server({ process, gate, folder });
  }

  /** What a client says to have its cache here. */
  attributes(prefix: string): StoreAttributes {
    return {
      bucket: this.bucket,
      region: "us-east-1",
      endpoint_url: this.endpointUrl,
      use_path_style: "true",
      access_key_id: this.key.accessKeyId,
      secret_access_key: this.key.secretAccessKey,
      prefix,
    };
  }

  #answer(message: IncomingMessage, response: ServerResponse): void {
    this.requests.push(`${message.method} ${decodeURIComponent(message.url ?? "")}`);
    if (!isSignedWith(this.key, message)) {
      message.resume();
      response.writeHead(403, { "content-type": "application/xml" });
      response.end("<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match</Message></Error>");
      return;
    }
    const { method = "", url = "", headers } = message;
    const onward = request({ host: "127.0.0.1", port: this.#process.port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    message.pipe(onward);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gate.closeAllConnections();
    await new Promise((resolve) => this.#gate.close(resolve));
    await this.#process[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
