import { parse } from "yaml";
import {
  type ContainerEdits,
  type DeviceHook,
  type DeviceMount,
  type DeviceNode,
  hookNames,
} from "./container-edits.ts";
import { SpecReader } from "./spec-reader.ts";

/** The devices of one kind, as one file tells of them. */
export interface CdiSpec {
  /** `vendor.com/class`. */
  readonly kind: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly devices: readonly CdiDevice[];
  /** For a container that gets any of the devices. */
  readonly edits: ContainerEdits;
}

export interface CdiDevice {
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly edits: ContainerEdits;
}

const kindPattern = /^[A-Za-z][A-Za-z0-9_.-]*\/[A-Za-z][A-Za-z0-9_-]*$/;
const namePattern = /^[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?$/;

/**
 * Reads a file's text, JSON or YAML (which JSON is a part of).
 *
 * @throws {BuildError} `invalid_argument`, naming the file and the member.
 */
export function parseCdiSpec(text: string, path: string): CdiSpec {
  const reader = SpecReader.open(path, () => parse(text, { maxAliasCount: 100 }));
  const kind = reader.text("kind", kindPattern);
  reader.text("cdiVersion", /^\d+\.\d+\.\d+$/);
  return {
    kind,
    annotations: reader.texts("annotations"),
    devices: reader.list("devices").map((device) => ({
      name: device.text("name", namePattern),
      annotations: device.texts("annotations"),
      edits: readEdits(device.table("containerEdits")),
    })),
    edits: readEdits(reader.table("containerEdits")),
  };
}

function readEdits(reader: SpecReader): ContainerEdits {
  reader.refuse("intelRdt", "netDevices");
  return {
    env: reader.textList("env", /^[^=]+=/),
    deviceNodes: reader.list("deviceNodes").map(readNode),
    mounts: reader.list("mounts").map(readMount),
    hooks: reader.list("hooks").map(readHook),
    additionalGids: reader.numberList("additionalGids").filter((gid) => gid !== 0),
  };
}

function readNode(reader: SpecReader): DeviceNode {
  const type = reader.findText("type", /^[bcup]$/) as DeviceNode["type"] | undefined;
  const hostPath = reader.findText("hostPath", /^\//);
  const permissions = reader.findText("permissions", /^[rwm]+$/);
  return {
    path: reader.text("path", /^\//),
    ...(hostPath !== undefined && { hostPath }),
    ...(type !== undefined && { type }),
    ...(permissions !== undefined && { permissions }),
    ...reader.numbers("major", "minor", "fileMode", "uid", "gid"),
  };
}

function readMount(reader: SpecReader): DeviceMount {
  return {
    hostPath: reader.text("hostPath", /./),
    containerPath: reader.text("containerPath", /^\//),
    options: reader.textList("options", /./),
    type: reader.findText("type", /./) ?? "",
  };
}

function readHook(reader: SpecReader): DeviceHook {
  const hookName = hookNames.find((name) => name === reader.text("hookName", /./));
  if (hookName === undefined) throw reader.invalid("hookName", `none of ${hookNames.join(", ")}`);
  return {
    hookName,
    path: reader.text("path", /^\//),
    args: reader.textList("args", /^/),
    env: reader.textList("env", /^[^=]+=/),
    ...reader.numbers("timeout"),
  };
}
