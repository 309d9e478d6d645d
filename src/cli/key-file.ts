import { readTextFile } from "./read-file.ts";
import { UsageError } from "./usage-error.ts";

const keyBytesMax = 65_536;

/** The key in a file, or on stdin for `-`: its first line. */
export async function readKeyFile(path: string): Promise<string> {
  const [line = ""] = (await readTextFile(path, { bytesMax: keyBytesMax, what: "the key" })).split(/\r?\n/);
  const key = line.trim();
  if (key === "") throw new UsageError(`${path} holds no key in its first line`);
  return key;
}
