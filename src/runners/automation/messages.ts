import type { FailureCode } from "../contract.ts";
import type { AutomationDocument, ParameterLists, SecureParameter } from "./document-model.ts";

/** What a browser process is told once, when it is started. */
export type ChildSettings = {
  chromium: string;
  /** Off only for root, whom Chromium refuses to sandbox. */
  chromiumSandbox: boolean;
  /** Where downloads arrive before they are named; private to the process. */
  arrivalsDirectory: string;
};

/** One task for a browser process. */
export type TaskOrder = {
  kind: "run";
  nonce: number;
  taskId: string;
  attempt: number;
  traceparent: string | null;
  work: { kind: "document"; document: AutomationDocument } | { kind: "script"; file: string };
  input: ParameterLists;
  secure: Record<string, SecureParameter[]>;
  directory: string;
  /** Directories whose files an automation may upload. */
  uploadDirectories: string[];
  /** Pages that are shipped with the automations, served to the page as `http://automations.localhost/`. */
  pagesDirectory: string | null;
  navigationTimeoutMs: number;
  fileBytesMax: number;
  outputBytesMax: number;
};

/** What an automation leaves behind; file names are relative to the task's directory. */
export type AutomationOutput = {
  output_data: Record<string, unknown>[];
  /** `final_screenshot.png`, or null when it was not asked for or could not be taken. */
  final_screenshot: string | null;
  /** Names below `downloads/`. */
  downloads: string[];
  /** Names below `screenshots/`, of screenshots that were asked for. */
  screenshots: string[];
  steps: number;
};

export type Reply =
  | { kind: "ready" }
  | { kind: "log"; nonce: number; level: "debug" | "info" | "warn" | "error"; text: string }
  | { kind: "progress"; nonce: number; fraction: number; text: string }
  /** What is being done now, so that a time-out can name it. */
  | { kind: "step"; nonce: number; text: string }
  | { kind: "done"; nonce: number; output: AutomationOutput; failure: { code: FailureCode; message: string } | null }
  /** Nothing more can be run here. */
  | { kind: "retiring" };
