/** TLS for a connection to a daemon: PEM texts. */
export interface ClientTls {
  /** Name to expect in the server's certificate; default the address's host. */
  readonly serverName?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}
