const { stringify } = JSON;
const messageCharsMax = 10_000;
const utf8BytesMax = 3;

/** A handler's return value as JSON text (empty for undefined), or what is wrong with it. */
export function resultJson(value: unknown, bytesMax: number): { json: string } | { fault: string } {
  if (value === undefined) return { json: "" };
  if (typeof value === "number" && !Number.isFinite(value)) return { fault: notJson(String(value)) };
  try {
    const json: string | undefined = stringify(value);
    if (json === undefined) return { fault: notJson(`a ${typeof value}`) };
    const bytes = json.length * utf8BytesMax > bytesMax ? Buffer.byteLength(json) : 0;
    if (bytes <= bytesMax) return { json };
    return { fault: `The result has ${bytes} bytes; at most ${bytesMax} are allowed. Return less` };
  } catch (fault) {
    return { fault: `The function returned what cannot be written as JSON: ${thrownText(fault).replace(/\.$/, "")}` };
  }
}

/** What was thrown, in one text. Never throws, whatever it is given. */
export function thrownText(thrown: unknown): string {
  try {
    if (thrown instanceof Error) return (String(thrown.message) || thrown.name).slice(0, messageCharsMax);
    if (typeof thrown === "object" && thrown !== null) return objectText(thrown).slice(0, messageCharsMax);
    return String(thrown).slice(0, messageCharsMax);
  } catch {
    // A getter or toString of the thrown value threw in its turn.
    return "The function threw something that cannot be read";
  }
}

/** Where it was thrown, with the function's directory left out; empty when there is nothing to tell. */
export function thrownAt(thrown: unknown, directory: string): string {
  if (!(thrown instanceof Error) || typeof thrown.stack !== "string") return "";
  const lines = thrown.stack.split("\n").filter((line) => !line.includes(import.meta.dir));
  return lines.join("\n").replaceAll(`${directory}/`, "").slice(0, messageCharsMax);
}

function objectText(thrown: object): string {
  const message: unknown = Reflect.get(thrown, "message");
  if (typeof message === "string" && message !== "") return message;
  return stringify(thrown) ?? String(thrown);
}

function notJson(what: string): string {
  return `The function returned ${what}, which is not JSON`;
}
