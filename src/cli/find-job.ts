import { ApiError, type Client, ConnectionError, type Job } from "../client.ts";

/** The job, or null when there is none, or nobody to ask. */
export async function findJob(client: Client, id: string): Promise<Job | null> {
  try {
    return await client.job(id);
  } catch (fault) {
    if (fault instanceof ConnectionError || (fault instanceof ApiError && fault.status === 404)) return null;
    throw fault;
  }
}
