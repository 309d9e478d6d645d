const headerBytes = 8;

/**
 * The text in a container's log as the engine sends it: frames of one byte for the stream, three zeros, a length and the
 * bytes (Docker Engine API, "Attach to a container", stream format). What has no such frames is text already.
 */
export function demultiplex(bytes: Uint8Array): string {
  const decoder = new TextDecoder();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = "";
  let at = 0;
  while (at < bytes.byteLength) {
    const isFrame =
      at + headerBytes <= bytes.byteLength && view.getUint8(at) <= 2 && (view.getUint32(at) & 0xffffff) === 0;
    if (!isFrame) return text + decoder.decode(bytes.subarray(at));
    const end = at + headerBytes + view.getUint32(at + 4);
    text += decoder.decode(bytes.subarray(at + headerBytes, end));
    at = end;
  }
  return text;
}
