import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasBwrap, openTrial, program, sharedTrial, type Trial } from "../support/script-trial.ts";
import { whenFileEnds } from "../support/ending.ts";

const hasPerl = Bun.which("perl") !== null && process.arch === "x64";
const shellProbes = 43;
const syscallProbes = 39;
process.env.FAIRLEAD_SECRET = "of-the-server";

const opened = sharedTrial();

describe("a script under bubblewrap", () => {
  test.skipIf(!hasBwrap)("can do nothing of what a shell can try to get out", async () => {
    const trial = await opened();
    const { output, outcome } = await trial.run({
      program: "escape-shell.sh",
      files: { "targets.env": targetsFor(trial) },
    });
    expect(escapesIn(output)).toEqual([]);
    expect(verdictsIn(output)).toHaveLength(shellProbes);
    expect(outcome.kind).toBe("succeeded");
  });

  test.skipIf(!hasBwrap || !hasPerl)("is refused every system call that leads out", async () => {
    const trial = await opened();
    const { output } = await trial.run({
      text: "perl probe.pl",
      files: { "probe.pl": program("escape-syscalls.pl") },
    });
    expect(escapesIn(output)).toEqual([]);
    expect(verdictsIn(output)).toHaveLength(syscallProbes);
  });

  test.skipIf(!hasPerl)("would be found out by these calls if there were no sandbox", async () => {
    const trial = await openTrial({ mode: "none" });
    const { output } = await trial.run({ text: "perl probe.pl", files: { "probe.pl": program("escape-syscalls.pl") } });
    expect(escapesIn(output).length).toBeGreaterThan(5);
  });

  test.skipIf(!hasBwrap)("has exactly the documented environment", async () => {
    const trial = await opened();
    const { output } = await trial.run({ text: "exec env -0 | sort -z | tr '\\0' '\\n'", jobId: "job-7", attempt: 2 });
    expect(withoutShells(output)).toEqual([
      "FAIRLEAD_ATTEMPT=2",
      "FAIRLEAD_JOB_ID=job-7",
      "HOME=/work",
      "LANG=C.UTF-8",
      "PATH=/usr/local/bin:/usr/bin:/bin",
    ]);
  });

  test.skipIf(!hasBwrap)("is told the trace it belongs to when there is one", async () => {
    const trial = await opened();
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const { output } = await trial.run({ text: 'echo "$TRACEPARENT"', traceparent });
    expect(output).toBe(`${traceparent}\n`);
  });

  test.skipIf(!hasBwrap)("has the network only when it is granted", async () => {
    const trial = await openTrial({ maximum: { network: true } });
    const { port } = listener();
    const text = `exec 9<>/dev/tcp/127.0.0.1/${port} && cat <&9`;
    const without = await trial.run({ text });
    const granted = await trial.run({ text, limits: { network: true } });
    expect(without.outcome.kind).toBe("failed");
    expect(granted.output).toBe("reached");
    expect([without.facts.limits?.network, granted.facts.limits?.network]).toEqual([false, true]);
    expect(granted.facts.sandbox).toContain("network granted");
  });

  test.skipIf(!hasBwrap)("holds no descriptor but its own three", async () => {
    const trial = await opened();
    const { output } = await trial.run({ text: "for n in {0..20}; do [ -e /proc/$$/fd/$n ] && echo $n; done" });
    expect(output).toBe("0\n1\n2\n");
  });
});

function targetsFor({ dataDir }: Trial): string {
  const other = join(dataDir, "payload-other");
  mkdirSync(other);
  for (const place of [join(other, "secret"), join(dataDir, "secret")]) writeFileSync(place, "TOPSECRET");
  const socket = join(dataDir, "host.sock");
  const server = Bun.listen({ unix: socket, socket: { data: () => undefined } });
  whenFileEnds(async () => server.stop(true));
  return [
    `PORT=${listener().port}`,
    `SOCKET=${socket}`,
    `SECRET_FILE=${join(dataDir, "secret")}`,
    `OTHER_PAYLOAD=${other}`,
    `HOST_PID=${process.pid}`,
  ].join("\n");
}

function listener() {
  const server = Bun.listen({
    ...{ hostname: "127.0.0.1", port: 0 },
    socket: { open: (socket) => void socket.end("reached"), data: () => undefined },
  });
  whenFileEnds(async () => server.stop(true));
  return server;
}

function verdictsIn(output: string): string[] {
  return output.split("\n").filter((line) => line.includes("\t"));
}

function escapesIn(output: string): string[] {
  return verdictsIn(output).filter((line) => !line.endsWith("\theld"));
}

/** Without what every bash adds of its own. */
function withoutShells(environment: string): string[] {
  return environment
    .trim()
    .split("\n")
    .filter((line) => !/^(PWD|OLDPWD|SHLVL|_)=/.test(line));
}
