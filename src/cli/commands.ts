import { bench } from "./bench.ts";
import { cancel } from "./cancel.ts";
import type { Command } from "./command.ts";
import { doctor } from "./doctor.ts";
import { files } from "./files.ts";
import { functions } from "./functions.ts";
import { job } from "./job.ts";
import { jobs } from "./jobs.ts";
import { logs } from "./logs.ts";
import { migrate } from "./migrate.ts";
import { openapi } from "./openapi.ts";
import { retry } from "./retry.ts";
import { run } from "./run.ts";
import { serve } from "./serve.ts";
import { submit } from "./submit.ts";
import { token } from "./token.ts";
import { webhook } from "./webhook.ts";
import { work } from "./work.ts";

/** The commands in the order in which they are shown. */
export const groups: readonly { title: string; commands: readonly Command[] }[] = [
  { title: "Jobs", commands: [run, submit, jobs, job, logs, cancel, retry, files] },
  { title: "Service", commands: [serve, work, migrate, doctor, functions, token, webhook, openapi, bench] },
];

export const commands: readonly Command[] = groups.flatMap((group) => group.commands);
