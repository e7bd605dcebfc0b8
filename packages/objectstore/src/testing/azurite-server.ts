import type { StoreAttributes } from "../object-store.ts";
import { TestProcess } from "./test-process.ts";

/** Azure's own emulator of its Blob Storage, which checks signatures and keeps everything in memory. */
export class AzuriteServer implements AsyncDisposable {
  readonly accountName = "testaccount";
  readonly accountKey: string = Buffer.from("not a secret at all").toString("base64");
  readonly accountUrl: string;
  readonly #process: TestProcess;

  private constructor(process: TestProcess) {
    this.#process = process;
    this.accountUrl = `http://127.0.0.1:${process.port}/${this.accountName}`;
  }

  static async start(): Promise<AzuriteServer> {
    const account = `testaccount:${Buffer.from("not a secret at all").toString("base64")}`;
    const flags = ["--disableProductStyleUrl", "--inMemoryPersistence", "--silent", "--disableTelemetry"];
    const process = await TestProcess.start(
      "azurite/dist/src/blob/main.js",
      (port) => [...flags, "--blobHost", "127.0.0.1", "--blobPort", String(port)],
      { AZURITE_ACCOUNTS: account },
    );
    return new AzuriteServer(process);
  }

  /** What a client says to have its cache here. */
  attributes(container: string): StoreAttributes {
    return {
      account_url: this.accountUrl,
      account_name: this.accountName,
      secret_access_key: this.accountKey,
      container,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}
