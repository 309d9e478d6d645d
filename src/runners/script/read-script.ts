import { closeSync, constants, fstatSync, openSync, readdirSync, readSync, type Stats } from "node:fs";
import { isUtf8 } from "node:buffer";
import { join } from "node:path";

export const scriptName = "run.sh";
/** Linux takes at most 128 KiB as one argument of a program. */
const copyBytesMax = 100_000;

/** A script that can be run, with what to run; or why it cannot, in words for its author. */
export type ReadScript =
  { kind: "ready"; command: string[]; note: string | null } | { kind: "refused"; reason: string };

/** How a script is run that is as it should be. */
export const usualCommand = ["bash", scriptName];
const endsNote = `${scriptName} has Windows line ends (CR LF); it runs from a copy with Unix line ends, the file itself stays as it is`;
const cannotCopy = `${scriptName} has Windows line ends (CR LF) or a byte order mark, and cannot be run from a copy because it is longer than ${copyBytesMax} bytes or not UTF-8; save it with Unix line ends and as UTF-8 without a mark (dos2unix ${scriptName})`;
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);
const utf16Marks = [Buffer.from([0xff, 0xfe]), Buffer.from([0xfe, 0xff])];
const markNote = `${scriptName} starts with a byte order mark; it runs from a copy without it, the file itself stays as it is`;

/**
 * Looks at `run.sh` before it is run. Opens it without following a link and without waiting for a pipe: on a second run
 * the first one may have put anything in its place. A script from Windows runs from a copy that is given to bash
 * directly, so that the payload is never changed.
 */
export function readScript(directory: string): ReadScript {
  const opened = openScript(join(directory, scriptName));
  if (typeof opened === "string") return { kind: "refused", reason: opened === "ENOENT" ? missing(directory) : opened };
  try {
    const stats = fstatSync(opened);
    if (!stats.isFile()) return { kind: "refused", reason: `${scriptName} is ${kindOf(stats)}, not a file` };
    return judge(readHead(opened, Math.min(stats.size, copyBytesMax + 1)), stats.size);
  } finally {
    closeSync(opened);
  }
}

function judge(head: Buffer, size: number): ReadScript {
  const wrong = notText(head);
  if (wrong !== null) return { kind: "refused", reason: wrong };
  const hasMark = head.subarray(0, byteOrderMark.length).equals(byteOrderMark);
  const hasWindowsEnds = isMostlyWindows(head);
  if (!hasMark && !hasWindowsEnds) return { kind: "ready", command: usualCommand, note: null };
  // bash takes the copy as one argument, which has to be text.
  if (size > copyBytesMax || head.includes(0) || !isUtf8(head)) return { kind: "refused", reason: cannotCopy };
  const text = head.subarray(hasMark ? byteOrderMark.length : 0).toString();
  const copy = hasWindowsEnds ? text.replaceAll("\r\n", "\n") : text;
  return { kind: "ready", command: ["bash", "-c", copy, scriptName], note: hasWindowsEnds ? endsNote : markNote };
}

/** bash's own rule: a file whose first line holds a NUL is a program and not a script. */
function notText(head: Buffer): string | null {
  if (head.toString("latin1").trim() === "") return `${scriptName} is empty`;
  if (utf16Marks.some((mark) => head.subarray(0, mark.length).equals(mark)))
    return `${scriptName} is UTF-16 text, which bash cannot read; save it as UTF-8`;
  const lineEnd = head.indexOf(10);
  if (head.subarray(0, lineEnd === -1 ? head.length : lineEnd).includes(0))
    return `${scriptName} is a binary file, not a bash script; send it under another name with a ${scriptName} that starts it`;
  return null;
}

function isMostlyWindows(head: Buffer): boolean {
  const text = head.toString("latin1");
  const lines = text.split("\n").length - 1;
  return lines > 0 && (text.split("\r\n").length - 1) * 2 > lines;
}

/** A descriptor, or why there is none. */
function openScript(path: string): number | string {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (fault) {
    const code = fault instanceof Error && "code" in fault ? String(fault.code) : "";
    if (code === "ENOENT") return code;
    if (code === "ELOOP") return `${scriptName} is a link; send the script itself`;
    return `${scriptName} cannot be read (${code || String(fault)})`;
  }
}

function readHead(descriptor: number, bytes: number): Buffer {
  const head = Buffer.alloc(bytes);
  return head.subarray(0, readSync(descriptor, head, 0, bytes, 0));
}

/** Names the file that was probably meant. */
function missing(directory: string): string {
  const meant = namesIn(directory).find((name) => /^run\.sh(\.txt)?$/i.test(name));
  if (meant !== undefined)
    return `there is no ${scriptName} among the files, but a "${meant}": rename it to ${scriptName}`;
  return `there is no ${scriptName} among the files: it is the script that is run, and must be at the top`;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    // The directory itself cannot be read or is gone; that there is no script in it holds all the same.
    return [];
  }
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return "a directory";
  return stats.isFIFO() ? "a pipe" : "a device or socket";
}
