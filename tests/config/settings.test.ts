import { describe, expect, test } from "bun:test";
import { functionEnvironment } from "../../src/runners/function/environment.ts";
import { ConfigError, isLocal, loadConfig } from "../../src/config.ts";

describe("a node", () => {
  test("on Fly is named by its machine and knows its region", () => {
    const fly = { FLY_MACHINE_ID: "148e21ea7d9489", FLY_REGION: "ams" };
    expect(loadConfig(fly)).toMatchObject({ nodeName: "148e21ea7d9489", region: "ams" });
    expect(loadConfig({ ...fly, NODE_NAME: "one", REGION: "eu" })).toMatchObject({ nodeName: "one", region: "eu" });
  });

  test("elsewhere is named by its host and port, and is in no region", () => {
    const { nodeName, region } = loadConfig({ PORT: "8123" });
    expect(nodeName).toEndWith(":8123");
    expect(region).toBe("");
  });
});

describe("the bucket that Fly gives an app", () => {
  const given = {
    FLY_APP_NAME: "ours",
    BUCKET_NAME: "summer-grass",
    AWS_ENDPOINT_URL_S3: "https://fly.storage.tigris.dev",
    AWS_ACCESS_KEY_ID: "tid",
    AWS_SECRET_ACCESS_KEY: "tsec",
  };

  test("is used for payloads, and its keys are kept from functions", () => {
    expect(loadConfig(given)).toMatchObject({
      ...{ s3Bucket: "summer-grass", s3Endpoint: "https://fly.storage.tigris.dev", s3Region: "auto" },
      ...{ s3AccessKeyId: "tid", s3SecretAccessKey: "tsec" },
    });
    expect(Object.keys(functionEnvironment(given)).sort()).toEqual([
      "AWS_ENDPOINT_URL_S3",
      "BUCKET_NAME",
      "FLY_APP_NAME",
    ]);
  });

  test.each([[{ S3_BUCKET: "own", S3_ACCESS_KEY_ID: "id", S3_SECRET_ACCESS_KEY: "key" }], [{ FLY_APP_NAME: "" }]])(
    "is none of ours with %j, and its names are for functions",
    (more) => {
      const environment = { ...given, ...more };
      expect(loadConfig(environment).s3AccessKeyId).not.toBe("tid");
      expect(functionEnvironment(environment)).toMatchObject({ AWS_SECRET_ACCESS_KEY: "tsec" });
    },
  );
});

describe("a second door", () => {
  const inside = { INTERNAL_PORT: "8081", INTERNAL_SURFACES: "orchestrator" };

  test("takes protocols that the first one leaves out", () => {
    const config = loadConfig(inside);
    expect(config).toMatchObject({ internalPort: 8081, internalHost: "127.0.0.1", internalSurfaces: ["orchestrator"] });
    expect(isLocal(config)).toBe(true);
  });

  test("in a private network makes the service one that others reach", () => {
    const config = loadConfig({ ...inside, INTERNAL_HOST: "fly-local-6pn", AUTH_KEY: "a-key" });
    expect(isLocal(config)).toBe(false);
  });

  test.each([
    [{ INTERNAL_SURFACES: "orchestrator" }, "set INTERNAL_PORT"],
    [{ INTERNAL_PORT: "8081" }, "name protocols in INTERNAL_SURFACES"],
    [{ ...inside, SURFACES: "api,andera" }, "orchestrator, which SURFACES leaves out"],
    [{ ...inside, SURFACES: "orchestrator" }, "leaves nothing for PORT"],
    [{ ...inside, INTERNAL_SURFACES: "all" }, "leaves nothing for PORT"],
    [{ ...inside, PORT: "8081" }, "choose another"],
    [{ ...inside, INTERNAL_HOST: "::" }, "set AUTH_KEY, or use INTERNAL_HOST=127.0.0.1"],
    [{ ...inside, INTERNAL_SURFACES: "orchestra" }, "INTERNAL_SURFACES must be one of"],
  ])("is refused with the fix: %j", (environment, fix) => {
    expect(problemsOf(environment)).toContain(fix);
  });
});

function problemsOf(environment: Record<string, string>): string {
  try {
    loadConfig(environment);
  } catch (fault) {
    if (fault instanceof ConfigError) return fault.message;
    throw fault;
  }
  return "";
}

describe("traces", () => {
  test("go to a collector that can be reached by HTTP, all of them unless a share is asked for", () => {
    expect(loadConfig({})).toMatchObject({ otlpEndpoint: "", traceShare: 1 });
    const given = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318", OTEL_TRACES_SAMPLER_ARG: "0.05" };
    expect(loadConfig(given)).toMatchObject({ otlpEndpoint: "http://collector:4318", traceShare: 0.05 });
  });

  test.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" }, "OTEL_EXPORTER_OTLP_ENDPOINT must be a full URL"],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "grpc://collector:4317" }, "begins with http:// or https://"],
    [{ OTEL_TRACES_SAMPLER_ARG: "2" }, "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1"],
    [{ OTEL_TRACES_SAMPLER_ARG: "half" }, "such as 0.1"],
  ])("with %j are refused at the start", (environment, reason) => {
    expect(() => loadConfig(environment)).toThrow(reason);
  });
});
