import { BuildError } from "@buildkit-ts/errdefs";
import { serveWorkerCalls } from "../worker-calls.ts";

serveWorkerCalls<{ readonly verb: string; readonly value?: number }, number>((request, call) => {
  switch (request.verb) {
    case "double":
      return (request.value ?? 0) * 2;
    case "errno":
      throw Object.assign(new Error("no file"), { code: "ENOENT" });
    case "spin":
      for (;;) call.throwIfAborted();
    case "exit":
      return process.exit(3);
    default:
      throw new BuildError("not_found", "text", { hint: "hint" });
  }
});
