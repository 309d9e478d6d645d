const atOnce = 1_000;

/** Takes or does not take work: a backlog is written while the node is in maintenance. */
export async function setWorking(url: string, isWorking: boolean): Promise<void> {
  await fetch(`${url}/${isWorking ? "on" : "off"}`, { method: "POST" });
}

/** Submits so many jobs of five priorities, in batches. */
export async function addBacklog(url: string, count: number): Promise<void> {
  for (let added = 0; added < count; added += atOnce) {
    const jobs = Array.from({ length: atOnce }, (_, at) => ({
      function: "hello",
      input: { name: "Ada" },
      priority: 1 + (at % 5),
    }));
    const response = await fetch(`${url}/api/v1/jobs/batch`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(jobs),
    });
    if (!response.ok)
      throw new Error(`the batch was answered ${response.status}: ${(await response.text()).slice(0, 200)}`);
    await response.arrayBuffer();
  }
}

/**
 * How many the node believes to wait, which costs nothing to ask and is right within some hundreds. To have the database asked all the
 * time, or the queues counted, would cost it as much as every tenth task.
 */
export async function waitingAt(url: string): Promise<number> {
  return (await ask<{ queued_tasks: number }>(`${url}/health`)).queued_tasks;
}

export async function ask<T>(url: string): Promise<T> {
  return (await (await fetch(url)).json()) as T;
}
