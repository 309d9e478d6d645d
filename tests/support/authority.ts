import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whenFileEnds } from "./ending.ts";

/** An authority for certificates that is known nowhere, made with openssl. */
export type Authority = {
  /** The file with its certificate. */
  path: string;
  /** PEM of a certificate for these names, and of its key. */
  issue(subject: string, names: string): { cert: string; key: string };
};

export const hasOpenssl = Bun.which("openssl") !== null;

export function createAuthority(): Authority {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-authority-"));
  whenFileEnds(async () => rmSync(directory, { recursive: true, force: true }));
  const run = (...words: string[]) => {
    const { success, stderr } = Bun.spawnSync(["openssl", ...words], { cwd: directory, stderr: "pipe" });
    if (!success) throw new Error(`openssl ${words[0]} failed: ${stderr}`);
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  run("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=nobody's authority");
  return {
    path: join(directory, "ca.crt"),
    issue(subject, names) {
      run("req", ...key, "-keyout", "its.key", "-out", "its.csr", "-subj", `/CN=${subject}`);
      writeFileSync(join(directory, "names"), `subjectAltName=${names}`);
      const by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"];
      run("x509", "-req", "-in", "its.csr", "-out", "its.crt", ...by);
      const text = (name: string) => readFileSync(join(directory, name), "utf8");
      return { cert: text("its.crt"), key: text("its.key") };
    },
  };
}
