import { runDaemon } from "./run-daemon.ts";

// Sockets of clients that do not hang up must not keep an ended daemon alive.
process.exit(await runDaemon(process.argv.slice(2)));
