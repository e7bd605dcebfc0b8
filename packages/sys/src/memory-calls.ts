import { NativeCall } from "./native-call.ts";

const mallopt = new NativeCall("mallopt", "int mallopt(int, int)");
const mallocTrim = new NativeCall("malloc_trim", "int malloc_trim(size_t)");

const M_TRIM_THRESHOLD = -1;
const M_MMAP_THRESHOLD = -3;
const M_ARENA_MAX = -8;

/** How the C library keeps the memory that was freed. */
export interface AllocatorLimits {
  /** Larger blocks go back to the kernel when they are freed, each by itself. */
  readonly ownMappingBytes: number;
  /** How many pools threads share. Each keeps what was freed in it, and a thread that ended leaves its own behind. */
  readonly pools: number;
}

/** Sets the limits of this process's `malloc`; pools that exist stay. */
export function limitAllocator({ ownMappingBytes, pools }: AllocatorLimits): void {
  // Once set, the thresholds are fixed: else each freed block raises them to its own size.
  mallopt.call(undefined, M_MMAP_THRESHOLD, ownMappingBytes);
  mallopt.call(undefined, M_TRIM_THRESHOLD, ownMappingBytes);
  mallopt.call(undefined, M_ARENA_MAX, pools);
}

/** Gives the memory that was freed back to the kernel, off this thread. */
export async function releaseFreedMemory(): Promise<void> {
  await mallocTrim.callAsync(undefined, 0);
}
