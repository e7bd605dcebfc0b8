import { BuildError } from "@buildkit-ts/errdefs";

const maxAttempts = 3;

/**
 * Repeats a transfer whose bytes were not those of its digest: something on the way may have damaged them, and what is at
 * the source may be whole all the same.
 */
export async function repeatDamaged<T>(
  transfer: () => Promise<T>,
  options: { readonly signal: AbortSignal },
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await transfer();
    } catch (error) {
      options.signal.throwIfAborted();
      const isDamaged = error instanceof BuildError && error.code === "data_loss";
      if (!isDamaged || attempt === maxAttempts) throw error;
    }
  }
}
