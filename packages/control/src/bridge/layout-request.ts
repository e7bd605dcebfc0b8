/** What a request for an image's config is given besides, so that the image is looked up in a client's OCI layout. */
export function layoutRequest(store: { readonly sessionId: string; readonly storeId: string }): {
  readonly scheme: "oci-layout";
  readonly attributes: Readonly<Record<string, string>>;
} {
  return { scheme: "oci-layout", attributes: { "oci.session": store.sessionId, "oci.store": store.storeId } };
}
