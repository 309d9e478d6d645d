import { EngineError } from "../errors.ts";
import { parseJson } from "./json.ts";

export type BodyLimits = {
  maxBytes: number;
  /** Arrays and objects inside each other; 200 unless said. */
  maxDepth?: number;
  /** Refuse a body whose `Content-Type` is not JSON. Without it any is read, as several protocols do. */
  mustBeJsonType?: boolean;
};

const depthUsual = 200;
const jsonType = /^application\/(?:[\w.+-]+\+)?json *(?:;|$)/i;

/**
 * The JSON value in a request's body, read after the caller is known. Throws `EngineError`: `too_large` (counted as
 * it comes, whatever Content-Length says), `unsupported_media_type`, or `invalid` for what is no JSON, no UTF-8,
 * nested deeper than allowed, or holds a number beyond what can be represented. The key `__proto__` is left out, so
 * that no copy of the value gets another prototype.
 */
export async function readJson(request: Request, limits: BodyLimits): Promise<unknown> {
  if (limits.mustBeJsonType && !jsonType.test(request.headers.get("content-type") ?? "")) {
    throw new EngineError("unsupported_media_type", "Send the body as application/json");
  }
  const bytes = await readBytes(request, limits.maxBytes);
  return parseJson(bytes, limits.maxDepth ?? depthUsual);
}

/**
 * The bytes of a request's body, at most `maxBytes`. Throws `EngineError`: `too_large`, or `invalid` when the caller
 * stops in the middle.
 */
export async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const announced = request.headers.get("content-length");
  if (announced !== null && Number(announced) > maxBytes) throw tooLarge(maxBytes);
  try {
    // The HTTP parser holds the caller to the length it announced; only a chunked body has to be counted.
    return announced === null
      ? await countedBytes(request.body, maxBytes)
      : new Uint8Array(await request.arrayBuffer());
  } catch (fault) {
    if (fault instanceof EngineError) throw fault;
    throw new EngineError("invalid", "The body ended before it was complete", { cause: fault });
  }
}

async function countedBytes(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<Uint8Array> {
  if (body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLarge(maxBytes: number): EngineError {
  return new EngineError("too_large", `The body is larger than ${maxBytes} bytes`);
}
