import { BuildError } from "@buildkit-ts/errdefs";
import type { RuntimeUser } from "./runtime-spec.ts";

/** Texts of a root file system's account files; undefined where there is none. */
export interface AccountFiles {
  readonly passwd: string | undefined;
  readonly group: string | undefined;
}

const maxId = 2 ** 31 - 1;

/** Whether the user is given by numbers only, so that no file need be read. */
export function parseNumericUser(spec: string): RuntimeUser | undefined {
  const [user = "", group, ...rest] = spec.split(":");
  if (group === undefined || rest.length > 0) return undefined;
  const uid = user === "root" ? 0 : parseId32(user);
  const gid = group === "root" ? 0 : parseId32(group);
  return uid === undefined || gid === undefined ? undefined : { uid, gid, additionalGids: [gid] };
}

function parseId32(text: string): number | undefined {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  return value < 2 ** 32 ? value : undefined;
}

/**
 * Finds the ids of `user`, `uid`, `user:group`, … in the container's account files. Empty is root, also without files.
 *
 * @throws {BuildError} `invalid_argument`, `unable to find user …` or `… group …`.
 */
export function resolveUser(spec: string, files: AccountFiles): RuntimeUser {
  const numeric = parseNumericUser(spec);
  if (numeric !== undefined) return numeric;
  try {
    return withPrimaryGroup(lookUp(spec === "" ? "0" : spec, files));
  } catch (error) {
    if (spec === "") return { uid: 0, gid: 0, additionalGids: [0] };
    throw error;
  }
}

function withPrimaryGroup(user: RuntimeUser): RuntimeUser {
  return user.additionalGids.includes(user.gid)
    ? user
    : { ...user, additionalGids: [user.gid, ...user.additionalGids] };
}

function lookUp(spec: string, files: AccountFiles): RuntimeUser {
  const [userText = "", groupText = ""] = spec.split(":");
  const uid = parseId(userText);
  const entry = records(files.passwd).find((fields) =>
    uid !== undefined ? toId(fields[2]) === uid : fields[0] === (userText === "" ? "root" : userText),
  );
  if (entry === undefined && uid === undefined && userText !== "") {
    throw new BuildError("invalid_argument", `unable to find user ${userText}: no matching entries in passwd file`);
  }
  const primary = { uid: uid ?? toId(entry?.[2]), gid: toId(entry?.[3]) };
  if (groupText !== "") return { ...primary, gid: resolveGroup(groupText, files), additionalGids: [] };
  const name = entry?.[0];
  const member = (fields: readonly string[]): boolean =>
    name !== undefined && (fields[3] ?? "").split(",").includes(name);
  return {
    ...primary,
    additionalGids: records(files.group)
      .filter(member)
      .map((fields) => toId(fields[2])),
  };
}

function resolveGroup(text: string, files: AccountFiles): number {
  const gid = parseId(text);
  if (gid !== undefined) return gid;
  const entry = records(files.group).find((fields) => fields[0] === text);
  if (entry === undefined) {
    throw new BuildError("invalid_argument", `unable to find group ${text}: no matching entries in group file`);
  }
  return toId(entry[2]);
}

function parseId(text: string): number | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  const value = Number(text);
  if (value < 0 || value > maxId) {
    throw new BuildError("invalid_argument", `uids and gids must be in range 0-${maxId}`);
  }
  return value;
}

function toId(text: string | undefined): number {
  const value = Number.parseInt(text ?? "", 10);
  return Number.isNaN(value) || value < 0 ? 0 : value;
}

function records(text: string | undefined): string[][] {
  return (text ?? "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
}
