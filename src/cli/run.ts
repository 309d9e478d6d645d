/** Runs one verb of the command line; returns the exit code. */
export async function runCli(verb: string, _words: string[]): Promise<number> {
  process.stderr.write(`fairlead: there is no command "${verb}"\n`);
  return 2;
}
