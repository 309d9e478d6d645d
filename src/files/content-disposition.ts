/**
 * A `Content-Disposition` header for a download (RFC 6266): the name in ASCII for old clients and in UTF-8 (RFC 8187) for
 * the others. Only the last segment of a path is used. Safe for every string: nothing in a name can end the header.
 */
export function contentDisposition(name: string, kind: "attachment" | "inline" = "attachment"): string {
  const base = name.toWellFormed().split("/").at(-1) || "download";
  const ascii = base.replace(/[^\x20-\x7e]/g, "_").replace(/["\\%]/g, "_");
  const plain = `${kind}; filename="${ascii}"`;
  return ascii === base ? plain : `${plain}; filename*=UTF-8''${encodeExtended(base)}`;
}

/** RFC 8187 allows fewer characters in the open than `encodeURIComponent` leaves. */
function encodeExtended(text: string): string {
  return encodeURIComponent(text).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}
