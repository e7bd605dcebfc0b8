import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import { type CdiDevice, type CdiSpec, parseCdiSpec } from "./cdi-spec.ts";
import { type ContainerEdits, joinEdits } from "./container-edits.ts";

/** A device that steps may ask for. */
export interface Device {
  /** `vendor.com/class=name`. */
  readonly name: string;
  /** Any build may use it. */
  readonly autoAllow: boolean;
  readonly annotations: Readonly<Record<string, string>>;
}

/** What a step asks for. */
export interface DeviceRequest {
  readonly name: string;
  /** The step runs without it where it is not there. */
  readonly optional: boolean;
}

/** Where devices are described, and which of them are for everybody. */
export interface DeviceRegistryOptions {
  /** What a later directory says of a device counts. None of them has to exist. */
  readonly directories: readonly string[];
  /** Full names or kinds. */
  readonly autoAllowed?: readonly string[];
  /** Told of files that cannot be read. */
  readonly reporter: { report(error: unknown, context: string): void };
}

const classAnnotation = "org.mobyproject.buildkit.device.class";
const autoAllowAnnotation = "org.mobyproject.buildkit.device.autoallow";

interface Entry {
  readonly spec: CdiSpec;
  readonly device: CdiDevice;
  readonly directory: number;
}

/** The host's devices, as the files of some directories describe them at the moment. */
export class DeviceRegistry {
  readonly #options: DeviceRegistryOptions;
  readonly #reported = new Set<string>();

  constructor(options: DeviceRegistryOptions) {
    this.#options = options;
  }

  /** By name. */
  list(): Device[] {
    return [...this.#read()].map(([name, entry]) => this.#describe(name, entry));
  }

  /**
   * The devices that the requests mean: the first one of a kind, all of it (`=*`), one of it, or all of a class.
   *
   * @throws {BuildError} `not_found`, for one that is not optional.
   */
  find(requests: readonly DeviceRequest[]): Device[] {
    if (requests.length === 0) return [];
    const devices = this.list();
    const found = requests.flatMap(({ name, optional }) => {
      const matching = matchDevices(devices, name);
      if (matching.length > 0 || optional) return matching;
      throw new BuildError("not_found", `required device ${JSON.stringify(name)} is not registered`, {
        hint: `devices are described by files in ${this.#options.directories.join(", ")}`,
      });
    });
    return [...new Set(found)];
  }

  /** What the devices need, those that all of a kind share once. Devices that are gone by now need nothing. */
  edits(names: readonly string[]): ContainerEdits {
    const entries = this.#read();
    const wanted = names.map((name) => entries.get(name)).filter((entry) => entry !== undefined);
    const shared = new Set(wanted.map(({ spec }) => spec.edits));
    return joinEdits([...shared, ...wanted.map(({ device }) => device.edits)]);
  }

  #describe(name: string, { spec, device }: Entry): Device {
    const annotations = { ...spec.annotations, ...device.annotations };
    const autoAllowed = this.#options.autoAllowed ?? [];
    const autoAllow =
      autoAllowed.includes(name) ||
      autoAllowed.includes(spec.kind) ||
      /^(1|t|true)$/i.test(annotations[autoAllowAnnotation] ?? "");
    return { name, autoAllow, annotations };
  }

  #read(): Map<string, Entry> {
    const entries = new Map<string, Entry>();
    /** Two files of one directory that describe one device: nobody can say which is right. */
    const ambiguous = new Set<string>();
    for (const [directory, spec] of this.#specs()) {
      for (const device of spec.devices) {
        const name = `${spec.kind}=${device.name}`;
        const isTwin = entries.get(name)?.directory === directory;
        if (isTwin) ambiguous.add(name);
        else ambiguous.delete(name);
        entries.set(name, { spec, device, directory });
      }
    }
    for (const name of ambiguous) entries.delete(name);
    return new Map([...entries].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  *#specs(): Iterable<readonly [directory: number, CdiSpec]> {
    for (const [index, directory] of this.#options.directories.entries()) {
      for (const file of filesOf(directory)) {
        const path = join(directory, file);
        try {
          yield [index, parseCdiSpec(readFileSync(path, "utf8"), path)];
          this.#reported.delete(path);
        } catch (error) {
          // Once for each file, not for each step.
          if (!this.#reported.has(path)) this.#options.reporter.report(error, "reading descriptions of devices");
          this.#reported.add(path);
        }
      }
    }
  }
}

function filesOf(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.(json|ya?ml)$/.test(name))
      .toSorted();
  } catch {
    // Most machines have none of the directories.
    return [];
  }
}

function matchDevices(devices: readonly Device[], wanted: string): Device[] {
  const [kind = "", name = ""] = wanted.split("=", 2);
  const ofKind = devices.filter((device) => device.name.startsWith(`${kind}=`));
  const matching =
    name === "" ? ofKind.slice(0, 1) : name === "*" ? ofKind : ofKind.filter((device) => device.name === wanted);
  return matching.length > 0 ? matching : devices.filter(({ annotations }) => annotations[classAnnotation] === wanted);
}
