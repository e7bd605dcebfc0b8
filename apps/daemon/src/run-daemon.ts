import { versionInfo } from "@buildkit-ts/control";
import { BuildError } from "@buildkit-ts/errdefs";
import { checkRoot } from "./check-root.ts";
import { readConfigFile } from "./config-file.ts";
import { Daemon } from "./daemon.ts";
import { defaultPaths } from "./default-paths.ts";
import { parseFlags } from "./flags.ts";
import { Logger } from "./logger.ts";
import { ServiceManager } from "./service-manager.ts";
import { resolveSettings, type Settings } from "./settings.ts";

/** How long running builds get to end after the first signal. */
const drainMs = 30_000;

/** The longest that a timer can be. */
const maxTimerMs = 2 ** 31 - 1;

/** Runs the daemon that the arguments ask for until it is told to end; gives the exit code. */
export async function runDaemon(args: readonly string[]): Promise<number> {
  try {
    return await run(args);
  } catch (error) {
    const { message, hint } = BuildError.from(error);
    process.stderr.write(`buildkitd: ${message}${hint === undefined ? "" : `\n  ${hint}`}\n`);
    return 1;
  }
}

async function run(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args);
  if (flags.version) {
    const { package: name, version, revision } = versionInfo;
    // Clients split this line at spaces and take the third field, so there are always four.
    process.stdout.write(`buildkitd ${name} ${version} ${revision === "" ? "source" : revision}\n`);
    return 0;
  }
  const settings = resolveSettings(flags, readConfigFile(flags.configPath ?? defaultPaths.config));
  process.umask(0);
  return flags.fsck ? await checkRoot(settings, new Logger(settings.log)) : await serve(settings);
}

async function serve(settings: Settings): Promise<number> {
  const logger = new Logger(settings.log);
  const manager = new ServiceManager(process.env, logger);
  // What the start waits for need not hold the process: without this it could end silently before it listens.
  const alive = setInterval(() => undefined, maxTimerMs);
  using _alive = { [Symbol.dispose]: () => clearInterval(alive) };
  await using daemon = await Daemon.start(settings, logger);
  await daemonEnd(daemon, { logger, manager });
  return 0;
}

/** First signal: no new calls, running ones may end. Second: stop now. Third: leave everything as it is. */
async function daemonEnd(
  daemon: Daemon,
  { logger, manager }: { readonly logger: Logger; readonly manager: ServiceManager },
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let signals = 0;
  const onSignal = (signal: string): void => {
    signals += 1;
    logger.log("info", `stopping on ${signal}`);
    if (signals === 1) {
      manager.stopping();
      daemon.drain({ timeoutMs: drainMs }).then(resolve, resolve);
    } else if (signals === 2) {
      resolve();
    } else {
      process.exit(1);
    }
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  // Not before: whoever hears it may send signals at once.
  manager.ready();
  daemon.idle.then(() => onSignal("idle time"), resolve);
  await promise;
}
