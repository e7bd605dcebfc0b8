/** containerd's default limit for a gRPC message, which BuildKit's clients use as well. */
export const maxMessageBytes: number = 16 << 20;
