// A real `siesta serve` with real Docker on free ports, gone with all it made.

import { execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

/** Servers of this process have networks of their own. */
let started = 0;

/** Starts a server; resolves when it says its address and its claim token. */
export async function serve(settings = {}) {
  const data = mkdtempSync(join(tmpdir(), "siesta-node-"));
  const child = spawn(process.env.SIESTA_BINARY, ["serve"], {
    env: {
      ...process.env,
      SIESTA_DATA_DIR: data,
      SIESTA_LISTEN: "127.0.0.1:0",
      SIESTA_LISTEN_TLS: "127.0.0.1:0",
      SIESTA_NETWORK_RANGE: `10.${200 + ((2 * process.pid + started++) % 50)}.0.0/16`,
      SIESTA_ACCEPT_OPEN_NETWORK: "true",
      ...settings,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const found = await new Promise((resolve, reject) => {
    const said = {};
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.startsWith("Dashboard: ")) said.url = line.slice("Dashboard: ".length).trim();
      if (line.startsWith("Claim token")) said.token = line.split(": ").pop().trim();
      if (said.url && said.token) resolve(said);
    });
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    removeTraces(readFileSync(join(data, "instance"), "utf8").trim());
    rmSync(data, { recursive: true, force: true });
  };
  /** Runs a subcommand against this server. */
  const siesta = (args, input = "") =>
    execFileSync(process.env.SIESTA_BINARY, args, { env: { ...process.env, SIESTA_DATA_DIR: data }, input, encoding: "utf8" }).trim();
  /** The same for one that takes its time, while others go on. */
  const slowly = async (args) => (await promisify(execFile)(process.env.SIESTA_BINARY, args, { env: { ...process.env, SIESTA_DATA_DIR: data } })).stdout;
  return { ...found, pid: child.pid, data, siesta, slowly, stop };
}

/** A port of the loopback address that nobody listens on. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Removes what one server left in Docker, by its own label. */
function removeTraces(instance) {
  const docker = (...args) => execFileSync("docker", args, { encoding: "utf8" }).split("\n").filter(Boolean);
  const filter = ["--filter", `label=siesta.instance=${instance}`];
  for (const [list, remove] of [
    [["ps", "-aq"], ["rm", "-f"]],
    [["network", "ls", "-q"], ["network", "rm"]],
    [["volume", "ls", "-q"], ["volume", "rm", "-f"]],
    [["images", "-q"], ["rmi", "-f"]],
  ]) {
    for (const id of docker(...list, ...filter)) {
      try {
        docker(...remove, id);
      } catch {
        // In use by something that goes with it, or gone already.
      }
    }
  }
}
