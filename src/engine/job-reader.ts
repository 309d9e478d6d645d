import type { Engine } from "./context.ts";
import { type JobView, readJobs } from "./read.ts";

/** Reads jobs one at a time for many readers: those that ask at the same moment share a statement. */
export type JobReader = {
  /** The job, or null when there is none of that id. */
  read(id: string): Promise<JobView | null>;
};

type Asked = { id: string; resolve: (job: JobView | null) => void; reject: (fault: unknown) => void };

const groupMax = 100;
/** One large job must not hold up everybody else's. */
const groupsAtOnce = 4;

export function createJobReader(engine: Engine): JobReader {
  const asked: Asked[] = [];
  let reading = 0;
  let isPlanned = false;
  const plan = () => {
    if (isPlanned || asked.length === 0 || reading >= groupsAtOnce) return;
    isPlanned = true;
    setImmediate(() => {
      isPlanned = false;
      reading += 1;
      void readGroup(engine, asked.splice(0, groupMax)).finally(() => {
        reading -= 1;
        plan();
      });
      plan();
    });
  };
  return {
    read: (id) =>
      new Promise((resolve, reject) => {
        asked.push({ id, resolve, reject });
        plan();
      }),
  };
}

async function readGroup(engine: Engine, group: Asked[]): Promise<void> {
  try {
    const jobs = await readJobs(engine.db.sql, [...new Set(group.map(({ id }) => id))]);
    const byId = new Map(jobs.map((job) => [job.id, job]));
    for (const { id, resolve } of group) resolve(byId.get(id) ?? null);
  } catch (fault) {
    for (const { reject } of group) reject(fault);
  }
}
