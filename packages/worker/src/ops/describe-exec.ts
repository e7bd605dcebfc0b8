import { opspb } from "@buildkit-ts/api";
import { looksSecret } from "@buildkit-ts/llb";
import { formatPlatform, type Platform } from "@buildkit-ts/oci";
import type { StepDescription } from "@buildkit-ts/solver";
import { goJson } from "../go-json.ts";
import { hiddenValue } from "../hidden-value.ts";

const networks = new Map<opspb.NetMode, string>([
  [opspb.NetMode.HOST, "host"],
  [opspb.NetMode.NONE, "none"],
]);

/** What an exec op's key is made of, as people know it. */
export function describeExec(
  op: opspb.ExecOp,
  options: { readonly platform: Platform; readonly isProxied: boolean },
): StepDescription {
  const { platform, isProxied } = options;
  const fields = new Map<string, string>([["platform", formatPlatform(platform)]]);
  const { meta } = op;
  if (meta !== undefined) {
    fields.set("command", commandOf(meta.args));
    for (const entry of meta.env) {
      const [name = "", ...value] = entry.split("=");
      fields.set(`env ${name}`, looksSecret(name) ? hiddenValue(entry) : value.join("="));
    }
    fields.set("working directory", meta.cwd);
    if (meta.user !== "") fields.set("user", meta.user);
    if (meta.hostname !== "") fields.set("hostname", meta.hostname);
    if (meta.extraHosts.length > 0) fields.set("extra hosts", meta.extraHosts.map(({ Host: host }) => host).join(" "));
    const limits = meta.ulimit.map(({ Name: name, Soft: soft, Hard: hard }) => `${name}=${soft}:${hard}`);
    if (limits.length > 0) fields.set("ulimits", limits.join(" "));
    if (meta.validExitCodes.length > 0) fields.set("valid exit codes", meta.validExitCodes.join(" "));
  }
  const network = networkOf(op.network, isProxied);
  if (network !== undefined) fields.set("network", network);
  if (op.security !== opspb.SecurityMode.SANDBOX) fields.set("security", "insecure");
  for (const mount of op.mounts) fields.set(`mount ${mount.dest}`, goJson(opspb.MountSchema, mount));
  for (const { ID: id, name } of op.secretenv) fields.set(`secret ${name}`, `id ${id}`);
  return { kind: "exec", fields };
}

/** Undefined for what is usual. */
function networkOf(mode: opspb.NetMode, isProxied: boolean): string | undefined {
  const name = mode === opspb.NetMode.UNSET ? undefined : (networks.get(mode) ?? String(mode));
  return isProxied ? `${name ?? "default"}, by proxy` : name;
}

/** The command as it was written, where a shell runs it. */
function commandOf(args: readonly string[]): string {
  const [shell = "", flag = "", script = "", ...rest] = args;
  return flag === "-c" && shell.endsWith("sh") && rest.length === 0 ? script : args.join(" ");
}
