/** Where things are unless said otherwise. */
export const defaultPaths = {
  address: "unix:///run/buildkit/buildkitd.sock",
  root: "/var/lib/buildkit",
  config: "/etc/buildkit/buildkitd.toml",
  provenanceDirectory: "/etc/buildkit/provenance.d",
} as const;
