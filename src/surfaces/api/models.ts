import { Elysia } from "elysia";
import { eventModel, fileListModel, jobListModel, jobModel, runListModel, tokenModel } from "./wire-job.ts";
import {
  automationListModel,
  batchAnswerModel,
  containerListModel,
  deliveryListModel,
  deliveryModel,
  functionListModel,
  nodeListModel,
  nodeModel,
  problemModel,
  queueListModel,
  queueModel,
} from "./wire-service.ts";
import { retryModel, submitModel, tokenRequestModel, batchMax } from "./wire-submit.ts";
import { reference } from "./wire.ts";
import { Type } from "@sinclair/typebox";

/** The models of this surface, by the names under which the OpenAPI document knows them. */
export const apiModels = new Elysia({ name: "models-api" }).model({
  Submit: submitModel,
  Batch: Type.Array(reference("Submit"), { minItems: 1, maxItems: batchMax }),
  BatchAnswer: batchAnswerModel,
  Job: jobModel,
  JobList: jobListModel,
  RunList: runListModel,
  FileList: fileListModel,
  Event: eventModel,
  Retry: retryModel,
  TokenRequest: tokenRequestModel,
  Token: tokenModel,
  Delivery: deliveryModel,
  DeliveryList: deliveryListModel,
  Node: nodeModel,
  NodeList: nodeListModel,
  Queue: queueModel,
  QueueList: queueListModel,
  FunctionList: functionListModel,
  ContainerList: containerListModel,
  AutomationList: automationListModel,
  Problem: problemModel,
});
