import { fromBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { isSameRequest, type RequestProvenance } from "@buildkit-ts/provenance";

/**
 * Which requests made which definitions, for as long as their builds go on: a frontend that is given such a definition as
 * an input has it from there. Shared by all builds of a daemon, since one build's result may be another one's input.
 */
export class RequestRegistry {
  readonly #requests = new Map<string, Set<RequestProvenance>>();

  /** Remembers until disposed. */
  register(definition: opspb.Definition, request: RequestProvenance): Disposable {
    const key = headOf(definition);
    if (key === undefined) return { [Symbol.dispose]: () => undefined };
    const known = this.#requests.get(key) ?? new Set();
    this.#requests.set(key, known);
    // An object of its own for each registration: the same request may be registered by several builds.
    const entry = { ...request };
    known.add(entry);
    return {
      [Symbol.dispose]: () => {
        known.delete(entry);
        if (known.size === 0 && this.#requests.get(key) === known) this.#requests.delete(key);
      },
    };
  }

  /** The request that made a definition; undefined also where different ones did. */
  find(definition: opspb.Definition): RequestProvenance | undefined {
    const key = headOf(definition);
    const known = key === undefined ? [] : [...(this.#requests.get(key) ?? [])];
    // What led to the request is the other build's matter.
    const [first, ...others] = known.map(({ request: { root: _root, ...request }, ...rest }) => ({ ...rest, request }));
    if (first === undefined || others.some((other) => !isSameRequest(first, other))) return undefined;
    return first;
  }
}

/** What the definition builds in the end. */
function headOf(definition: opspb.Definition): string | undefined {
  const last = definition.def.at(-1);
  return last === undefined ? undefined : fromBinary(opspb.OpSchema, last).inputs[0]?.digest;
}
