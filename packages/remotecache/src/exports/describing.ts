import { BuildError } from "@buildkit-ts/errdefs";

/** Says what was being done when it failed. */
export async function describing<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code, message, hint } = BuildError.from(error);
    throw new BuildError(code, `${what}: ${message}`, { cause: error, ...(hint !== undefined && { hint }) });
  }
}
