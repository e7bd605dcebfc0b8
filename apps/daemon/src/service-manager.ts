import type { ErrorReporter } from "@buildkit-ts/async";
import { sendDatagram } from "@buildkit-ts/sys";

/**
 * Tells the service manager that started this process what it is up to, where it asked to be told (sd_notify(3)).
 * A manager that does not hear it is reported and otherwise ignored: the daemon works without.
 */
export class ServiceManager {
  readonly #socket: string;
  readonly #reporter: ErrorReporter;

  constructor(env: Readonly<Record<string, string | undefined>>, reporter: ErrorReporter) {
    this.#socket = env["NOTIFY_SOCKET"] ?? "";
    this.#reporter = reporter;
  }

  /** All listeners answer. */
  ready(): void {
    this.#notify("READY=1");
  }

  /** No new clients are taken. */
  stopping(): void {
    this.#notify("STOPPING=1");
  }

  #notify(state: string): void {
    if (this.#socket === "") return;
    try {
      sendDatagram(this.#socket, state);
    } catch (error) {
      this.#reporter.report(error, `telling the service manager ${state}`);
    }
  }
}
