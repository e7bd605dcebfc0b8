const args = process.argv.slice(2);

// Nothing else is loaded for this: probes ask for it again and again.
if (args.length === 1 && /^--?v(?:ersion)?$/.test(args[0] ?? "")) {
  const { versionLine } = await import("./version.ts");
  process.stdout.write(versionLine);
} else {
  const { runCli } = await import("./run-cli.ts");
  const code = await runCli(args);
  // Sockets and timers of a connection that is no longer needed must not keep the process.
  if (process.stdout.writableLength === 0) process.exit(code);
  process.exitCode = code;
  process.stdout.once("drain", () => process.exit());
}
