import { describe, json } from "./describe.ts";
import { deliveryExample, nodeExample, queueExample } from "./examples.ts";

const webhooks = "webhooks";
const service = "service";

export const listDeliveries = describe({
  id: "listDeliveries",
  tag: webhooks,
  summary: "The webhook deliveries of a job",
  answers: { 200: { description: "Oldest first", content: json("DeliveryList", { deliveries: [deliveryExample] }) } },
  refusals: ["not_found"],
});

export const redeliver = describe({
  id: "redeliver",
  tag: webhooks,
  summary: "Hand a delivery over once more, now",
  description: "Under the same `webhook-id`, with a fresh schedule of tries.",
  answers: { 202: { description: "Due", content: json("Delivery", { ...deliveryExample, state: "pending" }) } },
  refusals: ["not_found", "conflict"],
});

const node = { description: "The node", content: json("Node", nodeExample) };
const queue = { description: "The queue", content: json("Queue", queueExample) };

export const listNodes = describe({
  id: "listNodes",
  tag: service,
  summary: "The nodes of this database",
  answers: { 200: { description: "Those that live first", content: json("NodeList", { nodes: [nodeExample] }) } },
});

export const drainNode = describe({
  id: "drainNode",
  tag: service,
  summary: "Let a node begin nothing more",
  answers: { 200: node },
  refusals: ["not_found"],
});

export const resumeNode = describe({
  id: "resumeNode",
  tag: service,
  summary: "Let a node begin work again",
  answers: { 200: node },
  refusals: ["not_found"],
});

export const listQueues = describe({
  id: "listQueues",
  tag: service,
  summary: "The queues, with what waits in them",
  answers: { 200: { description: "One a runner", content: json("QueueList", { queues: [queueExample] }) } },
});

export const pauseQueue = describe({
  id: "pauseQueue",
  tag: service,
  summary: "Let nothing more of a queue begin, on any node",
  answers: { 200: queue },
  refusals: ["not_found"],
});

export const resumeQueue = describe({
  id: "resumeQueue",
  tag: service,
  summary: "Let a queue go on",
  answers: { 200: queue },
  refusals: ["not_found"],
});

export const listFunctions = describe({
  id: "listFunctions",
  tag: service,
  summary: "The functions that this node serves",
  answers: { 200: { description: "With files that are not served, and why", content: json("FunctionList") } },
});

export const listContainers = describe({
  id: "listContainers",
  tag: service,
  summary: "The containers that this node knows",
  answers: { 200: { description: "In the order of their file", content: json("ContainerList") } },
});

export const listAutomations = describe({
  id: "listAutomations",
  tag: service,
  summary: "The browser automations that this node serves",
  answers: { 200: { description: "With those that are not served, and why", content: json("AutomationList") } },
});
