/** The whole text of a body, or null when it has more than the bytes allowed. */
export type Answer = { text: string | null };

/**
 * Reads a body to its end and at most `bytesMax` bytes after decompression; what is beyond is left unread and the connection closed.
 * `onText` is given each piece as it comes and may ask for time. Throws what `fetch` throws for a body that breaks off.
 */
export async function readAnswer(
  response: Response,
  bytesMax: number,
  onText?: (text: string) => void | Promise<void>,
): Promise<Answer> {
  if (response.body === null) return { text: "" };
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  const take = async (piece: string) => {
    text += piece;
    if (piece !== "") await onText?.(piece);
  };
  for await (const chunk of response.body) {
    bytes += chunk.byteLength;
    // Leaving the loop cancels the body.
    if (bytes > bytesMax) return { text: null };
    await take(decoder.decode(chunk, { stream: true }));
  }
  await take(decoder.decode());
  return { text };
}

/** The start of a body, for a message: what came of it within `withinMs`, also when it breaks off. */
export async function readExcerpt(response: Response, limits: { charsMax: number; withinMs: number }): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return "";
  const decoder = new TextDecoder();
  const timer = setTimeout(() => void reader.cancel().catch(ignore), limits.withinMs);
  let text = "";
  try {
    while (text.length <= limits.charsMax) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
  } catch (fault) {
    ignore(fault);
  } finally {
    clearTimeout(timer);
    void reader.cancel().catch(ignore);
  }
  return text.length > limits.charsMax ? `${text.slice(0, limits.charsMax)}…` : text.trim();
}

// An excerpt goes with a failure that is already known; how its body ended adds nothing.
function ignore(_fault: unknown): void {
  return;
}
