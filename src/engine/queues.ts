/** One queue a runner: work of one kind waits in one line, ordered by priority and arrival. */
export const queueNames = ["function", "script", "container", "automation"] as const;
export type QueueName = (typeof queueNames)[number];
