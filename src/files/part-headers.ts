import { EngineError } from "../errors.ts";
import { type PartDisposition, parsePartDisposition } from "./part-disposition.ts";

/** Lower-case names; values with one character per byte. */
export type PartHeaders = Readonly<Record<string, readonly string[]>>;

export const headerBytesMax = 16_384;
export const headerPairsMax = 64;

// Obsolete in form data (RFC 7578, 4.7); decoding nothing is right only for these.
const plainEncodings = ["7bit", "8bit", "binary"];

/** What a part's headers say. Throws `invalid`; `headers` is undefined when no blank line ended them. */
export function readPartHeaders(headers: PartHeaders | undefined): PartDisposition {
  if (headers === undefined) throw new EngineError("invalid", "A part has no blank line after its headers");
  const entries = Object.entries(headers);
  const bytes = entries.flatMap(([key, values]) => values.map((value) => key.length + value.length + 4));
  // The parser cuts longer headers without a word; what it kept cannot be trusted.
  if (bytes.reduce((sum, some) => sum + some, 4) >= headerBytesMax || bytes.length >= headerPairsMax) {
    throw new EngineError("invalid", `The headers of a part are larger than ${headerBytesMax} bytes`);
  }
  const dispositions = headers["content-disposition"] ?? [];
  const [disposition] = dispositions;
  if (disposition === undefined) throw new EngineError("invalid", "A part has no Content-Disposition that can be read");
  if (dispositions.length > 1) throw new EngineError("invalid", "A part has more than one Content-Disposition");
  const encoding = headers["content-transfer-encoding"]?.[0]?.trim().toLowerCase() ?? "binary";
  if (!plainEncodings.includes(encoding)) {
    throw new EngineError(
      "invalid",
      `A part is in the transfer encoding ${JSON.stringify(encoding)}: send it as it is`,
    );
  }
  return parsePartDisposition(disposition);
}
