import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:net";
import { chooseAccount } from "../../src/db/embeddedAccount.ts";
import { whenFileEnds } from "./ending.ts";
import { freePort, type TcpPostgres } from "./tcp-postgres.ts";
import { until } from "./until.ts";

export const pgbouncerPath = Bun.which("pgbouncer", { PATH: `${process.env["PATH"]}:/usr/sbin` });

/** A PgBouncer before a Postgres; ended with the test file. */
export async function startPgbouncer(
  target: TcpPostgres,
  options: { mode: "transaction" | "session"; settings?: Record<string, string> },
): Promise<{ url: string }> {
  if (pgbouncerPath === null) throw new Error("pgbouncer is not installed");
  const directory = mkdtempSync(join(tmpdir(), "fairlead-bouncer-"));
  chmodSync(directory, 0o755);
  // It refuses to be root, as Postgres does.
  const { ids } = chooseAccount(join(directory, "x"));
  const port = freePort();
  const settings = {
    listen_addr: "127.0.0.1",
    listen_port: String(port),
    unix_socket_dir: "",
    auth_type: "trust",
    auth_file: join(directory, "users"),
    pool_mode: options.mode,
    default_pool_size: "4",
    max_client_conn: "200",
    ...options.settings,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  const databases = `[databases]\nfairlead = host=127.0.0.1 port=${target.port}\n`;
  writeFileSync(join(directory, "users"), '"fairlead" "open"\n');
  writeFileSync(join(directory, "bouncer.ini"), `${databases}[pgbouncer]\n${lines.join("\n")}\n`);
  if (ids !== null) chownSync(directory, ids.uid, ids.gid);
  const child = Bun.spawn([pgbouncerPath, join(directory, "bouncer.ini")], {
    cwd: "/",
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(join(directory, "log")),
    ...ids,
  });
  whenFileEnds(async () => {
    child.kill("SIGKILL");
    await child.exited;
    rmSync(directory, { recursive: true, force: true });
  });
  await until(
    "PgBouncer listens",
    async () => {
      if (child.exitCode !== null) throw new Error(`PgBouncer ended: ${await Bun.file(join(directory, "log")).text()}`);
      return isOpen(port);
    },
    { withinMs: 20_000 },
  );
  return { url: `postgres://fairlead:open@127.0.0.1:${port}/fairlead` };
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
