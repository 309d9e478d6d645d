import { readTextFile } from "./read-file.ts";
import { UsageError } from "./usage-error.ts";

const inputBytesMax = 64 * 1_048_576;

/** What `--input` was given: JSON, `@file`, or `-` for stdin; undefined when it was not. Throws `UsageError` unless it is JSON. */
export async function readInput(given: string | undefined): Promise<unknown> {
  if (given === undefined) return undefined;
  const isFile = given === "-" || given.startsWith("@");
  const text = isFile
    ? await readTextFile(given.replace(/^@/, ""), { bytesMax: inputBytesMax, what: "the input" })
    : given;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const where = isFile ? given.replace(/^@/, "").replace(/^-$/, "stdin") : "--input";
    throw new UsageError(
      `${where} is not JSON (${cause instanceof Error ? cause.message : ""}); write it like '{"name":"Ada"}'`,
      { cause },
    );
  }
}

/** The same where only an object will do. */
export async function readObject(given: string | undefined): Promise<Record<string, unknown> | undefined> {
  const input = await readInput(given);
  if (input === undefined) return undefined;
  if (typeof input === "object" && input !== null && !Array.isArray(input)) return { ...input };
  throw new UsageError(`the input must be a JSON object, such as '{"name":"Ada"}'`);
}
