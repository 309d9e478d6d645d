/**
 * The words of an Optexity child process and of its control plane. Source: the Optexity document "Inference models and endpoints", and the
 * code of its child process where the document is silent. The texts are kept letter by letter.
 */

/** A value of an input parameter. */
export type InputValue = string | number | boolean;
export type InputLists = Record<string, InputValue[]>;

/** A `/inference` body that passed every check. */
export type InferenceRequest = {
  endpoint_name: string;
  input_parameters: InputLists;
  unique_parameter_names: string[];
  /** Null when the request has none. */
  secure_parameters: Record<string, unknown[]> | null;
  /** Lower comes first; null comes last. */
  priority: number | null;
  max_timeout_in_minutes: number | null;
};

/** A Task as it is accepted, before it has run. */
export type Task = InferenceRequest & {
  task_id: string;
  user_id: string;
  recording_id: string;
  /** The control plane's document; null to run the automation of that name. */
  automation: Record<string, unknown> | null;
  unique_parameters: InputLists | null;
  dedup_key: string;
  created_at: string;
  max_retries: number;
  /** Of the control plane that has sent it. */
  api_key: string | null;
  /** Whom the control plane is to tell of the end, in its own form; it holds secrets. */
  callback_url: Record<string, unknown> | null;
};

export type TaskStatus = "queued" | "allocated" | "running" | "success" | "failed" | "cancelled";

export const texts = {
  allocated: "Task has been allocated",
  allocatedMany: (count: number) => `${count} task(s) allocated.`,
  childProcessSet: "Child process id has been set",
  killed: (count: number) => `Kill signal sent for ${count} tasks`,
  unhealthy: (afterS: number) => `Task not finished in the last ${durationText(afterS)}`,
} as const;

export const maxRetriesUsual = 1;
/** Values of one parameter, and parameters of one request. */
export const listMax = 1_000;
/** Tasks or ids in one body. */
export const batchMax = 1_000;

function durationText(seconds: number): string {
  const [value, unit] = seconds % 60 === 0 ? [seconds / 60, "minute"] : [seconds, "second"];
  return `${value} ${unit}${value === 1 ? "" : "s"}`;
}
