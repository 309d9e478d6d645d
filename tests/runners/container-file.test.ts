import { describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "../../src/errors.ts";
import { isAllowed } from "../../src/runners/container/allowed.ts";
import { readContainers } from "../../src/runners/container/read-containers.ts";
import { shellWords } from "../../src/runners/container/shell-words.ts";
import { parseVolume } from "../../src/runners/container/volume.ts";
import { eventually, runnerOf, temporaryDirectory } from "../support/containers/runner-of.ts";

const read = (value: unknown) =>
  readContainers(typeof value === "string" ? value : JSON.stringify(value), "/srv/c.json");
const only = (entry: Record<string, unknown>) => [...read([entry]).containers.values()][0];
const pointersOf = (value: unknown) => read(value).problems.map(({ pointer }) => pointer);

describe("a containers file", () => {
  test("is a list or an object with the list, as an original node's config.json", () => {
    const entry = { id: "hello", port: 3999 };
    const original = { chain: { enabled: false }, server: { port: 4000 }, containers: [entry] };
    expect([...read([entry]).containers.keys()]).toEqual(["hello"]);
    expect([...read(original).containers.keys()]).toEqual(["hello"]);
    expect(read(original).problems).toEqual([]);
  });

  test("takes an entry as the original documents it, with what is about payments left alone", () => {
    const image = only({
      id: "hello-world",
      image: "ritualnetwork/hello-world-infernet:latest",
      external: true,
      port: 3000,
      allowed_delegate_addresses: [],
      allowed_addresses: [],
      allowed_ips: ["10.0.0.0/8"],
      accepted_payments: {},
      command: "--bind=0.0.0.0:3000 --workers=2",
      env: { KEY: "value", WORKERS: 2 },
      volumes: ["/srv/models:/models:ro"],
      generates_proofs: false,
      gpu: true,
      description: null,
    });
    expect(image).toMatchObject({
      kind: "image",
      port: 3000,
      command: ["--bind=0.0.0.0:3000", "--workers=2"],
      env: { KEY: "value", WORKERS: "2" },
      volumes: [{ source: "/srv/models", target: "/models", options: ["ro"] }],
      gpu: true,
      description: "",
      start: "boot",
      startupS: 60,
    });
  });

  test("tells services, commands and images apart", () => {
    expect(only({ id: "a", url: "https://models.example/v1/", bearer: "t" })).toMatchObject({
      kind: "service",
      url: "https://models.example/v1",
      bearer: "t",
    });
    expect(only({ id: "a", port: 3999 })).toMatchObject({ kind: "service", url: "http://127.0.0.1:3999" });
    expect(only({ id: "a", url: "http://h", image: "team/model" })).toMatchObject({
      kind: "service",
      image: "team/model",
    });
    expect(only({ id: "a", exec: "wc -w" })).toMatchObject({ kind: "exec", command: ["/bin/sh", "-c", "wc -w"] });
    expect(only({ id: "a", exec: ["wc", "-w"], directory: "tools" })).toMatchObject({
      command: ["wc", "-w"],
      directory: "/srv/tools",
    });
    expect(only({ id: "a", image: "team/model", port: 3999 })).toMatchObject({ kind: "image", port: 3999 });
  });

  test("leaves images to others with manage_containers false", () => {
    const { containers } = read({
      manage_containers: false,
      containers: [{ id: "a", image: "team/model", port: 3998 }],
    });
    expect(containers.get("a")).toMatchObject({ kind: "service", url: "http://127.0.0.1:3998", image: "team/model" });
  });

  test("lists every problem of every entry with its pointer", () => {
    const pointers = pointersOf([
      { id: "", url: "ftp://x", external: "yes" },
      { id: "two", exec: [], env: { "A B": "x" }, limits: { memory_mb: "much" } },
      { id: "three", image: "Bad Image", port: 70_000, volumes: ["/:/host"], command: "'open" },
      { id: "three", port: 3000, allowed_ips: ["10.0.0.0/40", "everybody"] },
      { id: "five" },
      "six",
      { id: "seven", exec: "true", url: "http://x", alowed_ips: ["10.0.0.1"] },
      { id: "eight", url: "http://user:secret@x/?a=b", bearer: "two words" },
    ]);
    expect(pointers).toEqual([
      "/0/id",
      "/0/external",
      "/0/url",
      "/1/exec",
      "/1/env",
      "/1/limits/memory_mb",
      "/2/port",
      "/2/command",
      "/2/volumes",
      "/2/image",
      "/3/allowed_ips",
      "/3/allowed_ips",
      "/3/id",
      "/4/id",
      "/5",
      "/6/url",
      "/6/alowed_ips",
      "/7/url",
      "/7/bearer",
    ]);
  });

  test("says in words what is wrong and never shows a secret", () => {
    const { problems } = read([{ id: "a", port: "x", bearer: 42_424_242, env: ["SECRET=hunter2"] }]);
    const text = JSON.stringify(problems);
    expect(text).toContain("must be a number from 1 to 65535, not");
    expect(text).not.toContain("42424242");
    expect(text).not.toContain("hunter2");
  });

  test.each([
    ["that is not JSON", "{", "must be JSON"],
    ["without containers", "{}", "must be a list of at most 1000 containers"],
    ["whose containers are no list", `{"containers": {}}`, "must be a list"],
    [
      "with too many containers",
      JSON.stringify(Array.from({ length: 1_001 }, () => 1)),
      "must be a list of at most 1000",
    ],
  ])("%s is refused as a whole", (_name, text, detail) => {
    const { problems } = read(text);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.detail).toContain(detail);
  });
});

describe("a volume", () => {
  test.each([
    ["/:/host", "part of the system"],
    ["/etc:/etc", "part of the system"],
    ["/proc/1:/x", "part of the system"],
    ["/var/run/docker.sock:/var/run/docker.sock", "engine's socket"],
    ["/home/me/podman.sock:/s", "engine's socket"],
    ["/srv/../etc:/x", "absolute path without"],
    ["models:/models", "named volumes are not used"],
    ["./models:/models", "absolute path"],
    ["/srv/models:models", "target"],
    ["/srv/models:/", "target"],
    ["/srv/models", "source:target"],
    ["/srv/models:/m:ro:x", "source:target"],
    ["/srv/models:/m:exec", "option"],
  ])("%s is refused", (text, reason) => {
    expect(parseVolume(text)).toEqual({ problem: expect.stringContaining(reason) });
  });

  test("is refused when a link leads into the system", () => {
    const directory = temporaryDirectory();
    symlinkSync("/etc", join(directory, "link"));
    expect(parseVolume(`${join(directory, "link")}:/x`)).toEqual({ problem: expect.stringContaining('"/etc"') });
    mkdirSync(join(directory, "fine"));
    expect(parseVolume(`${join(directory, "fine")}:/x`)).toMatchObject({ target: "/x" });
  });
});

describe("an address", () => {
  const fenced = { allowedIps: ["10.0.0.0/8", "192.168.1.7", "2001:db8::/32", "::ffff:172.16.0.0/108"] };
  test.each(["10.1.2.3", "192.168.1.7", "::ffff:10.1.2.3", "2001:db8::1", "2001:db8::1%eth0", "172.16.4.4"])(
    "%s in the list may use the container",
    (address) => expect(isAllowed(fenced, address)).toBe(true),
  );
  test.each(["11.0.0.1", "192.168.1.8", "::1", "127.0.0.1", "", "unix", "10.1", "2001:db9::1"])(
    "%s outside of the list may not",
    (address) => expect(isAllowed(fenced, address)).toBe(false),
  );
  test("of any kind may use a container without a list", () => {
    expect(isAllowed({ allowedIps: [] }, "203.0.113.9")).toBe(true);
    expect(isAllowed({ allowedIps: [] }, "")).toBe(true);
  });
});

test("a command line is split as a shell would", () => {
  expect(shellWords(`a "b c" 'd "e"' f\\ g "h\\"i" ''`)).toEqual(["a", "b c", 'd "e"', "f g", 'h"i', ""]);
  expect(shellWords("  ")).toEqual([]);
  expect(shellWords("'open")).toBeNull();
  expect(shellWords("end\\")).toBeNull();
});

describe("the runner", () => {
  test("lists what /info shows, in the order of the file", () => {
    const { runner } = runnerOf([
      { id: "b", port: 3000, description: "second" },
      { id: "a", url: "http://h", image: "team/a", external: false, bearer: "secret" },
    ]);
    expect(runner.list()).toEqual([
      { id: "b", description: "second", external: true, image: "" },
      { id: "a", description: "", external: false, image: "team/a" },
    ]);
    expect(runner.get("a")).toMatchObject({ external: false, bearer: "secret" });
    expect(runner.get("c")).toBeNull();
  });

  test("has no containers without a file, and those of a file that comes later", async () => {
    const path = join(temporaryDirectory(), "later.json");
    const { runner } = runnerOf([], { path });
    expect(runner.list()).toEqual([]);
    expect(runner.problems()).toEqual([]);
    writeFileSync(path, `[{"id":"late","port":3000}]`);
    await eventually("the new file", () => runner.get("late") !== null);
  });

  test("does not start with a broken file, and says every problem", () => {
    let fault: unknown = null;
    try {
      runnerOf([{ id: "a", port: 0 }, { id: "b" }]);
    } catch (thrown) {
      fault = thrown;
    }
    expect(fault).toBeInstanceOf(EngineError);
    expect(fault).toMatchObject({
      code: "invalid",
      options: { problems: [{ pointer: "/0/port" }, { pointer: "/1/id" }] },
    });
    expect(String(fault)).toContain("has 2 problems:\n  /0/port must be");
  });

  test("keeps the last good file while a newer one is broken or gone, and says so", async () => {
    const { runner, path, write } = runnerOf([{ id: "a", port: 3000 }]);
    write("[{");
    await eventually("the problem", () => runner.problems().length === 1);
    expect(runner.problems()[0]?.detail).toContain("must be JSON");
    expect(runner.get("a")).not.toBeNull();
    rmSync(path);
    await eventually("the missing file", () => runner.problems()[0]?.detail.startsWith("is gone") === true);
    expect(runner.get("a")).not.toBeNull();
    writeFileSync(`${path}.new`, `[{"id":"b","port":3000}]`);
    renameSync(`${path}.new`, path);
    await eventually("the mended file", () => runner.get("b") !== null);
    expect(runner.problems()).toEqual([]);
    expect(runner.get("a")).toBeNull();
  });
});
