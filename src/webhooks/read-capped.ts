/**
 * The first `bytesMax` bytes of an answer; the rest is given up and the connection with it. `whole` is false when there was more.
 * Rejects when the connection breaks or its signal aborts.
 */
export async function readCapped(response: Response, bytesMax: number): Promise<{ bytes: Uint8Array; whole: boolean }> {
  if (response.body === null) return { bytes: new Uint8Array(0), whole: true };
  const reader = response.body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  while (size <= bytesMax) {
    const { done, value } = await reader.read();
    if (done) return { bytes: Buffer.concat(chunks), whole: true };
    chunks.push(value);
    size += value.length;
  }
  await reader.cancel();
  return { bytes: Buffer.concat(chunks).subarray(0, bytesMax), whole: false };
}
