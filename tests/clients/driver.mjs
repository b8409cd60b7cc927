// Runs the official CLI as a person does: a home folder of its own, the variables that docs/heroku-cli.md names.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What one command of the CLI did. */
export class Driver {
  constructor({ program, variables }) {
    this.home = mkdtempSync(join(tmpdir(), "siesta-cli-"));
    this.program = program;
    this.env = {
      PATH: `${join(this.home, "bin")}:${process.env.PATH}`,
      HOME: this.home,
      XDG_DATA_HOME: join(this.home, "data"),
      TERM: "xterm",
      HEROKU_NETRC_WRITE: "true",
      DISABLE_TELEMETRY: "true",
      HEROKU_SKIP_ANALYTICS: "1",
      HEROKU_DISABLE_AUTOUPDATE: "1",
      HEROKU_SKIP_NEW_VERSION_CHECK: "true",
      GIT_TERMINAL_PROMPT: "0",
      ...(process.env.NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE }),
      ...variables,
    };
  }

  /**
   * Runs `heroku ARGS`; `until` ends a command that goes on for ever once its output matches; with
   * `answers` it has a terminal, where each is typed (or called) once its question stands there.
   */
  run(args, { answers, ...options } = {}) {
    if (!answers) return this.start(process.execPath, [this.program, ...args], options);
    const line = [process.execPath, this.program, ...args].map((word) => `'${word}'`).join(" ");
    return this.start("script", ["--quiet", "--return", "--command", line, "/dev/null"], { answers: [...answers], ...options });
  }

  /** Runs any program in the same surroundings. */
  start(program, args, { input = "", until, answers, cwd = this.home, env = {}, patience = 120_000 } = {}) {
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, { cwd, env: { ...this.env, ...env }, detached: true });
      const done = { out: "", err: "", code: null };
      const kill = () => {
        try {
          process.kill(-child.pid, "SIGKILL");
        } catch {
          // It has ended.
        }
      };
      const timer = setTimeout(() => {
        done.err += "\n[no end in time]";
        kill();
      }, patience);
      let read = 0;
      const heard = (stream) => (chunk) => {
        done[stream] += chunk;
        const said = done.out + done.err;
        const asked = answers?.[0]?.[0].exec(said.slice(read));
        if (asked) {
          read = said.length;
          const [, answer] = answers.shift();
          const wrong = (error) => (done.err += `\n${error.stack}`);
          void Promise.resolve(typeof answer === "function" ? answer(asked) : type(child.stdin, answer)).catch(wrong);
        }
        if (until?.test(done.out + done.err)) {
          done.stopped = true;
          kill();
        }
      };
      child.stdout.on("data", heard("out"));
      child.stderr.on("data", heard("err"));
      child.stdin.on("error", () => {});
      if (!answers) child.stdin.end(input);
      child.once("error", reject);
      child.once("close", (code) => {
        clearTimeout(timer);
        const [out, err] = [plain(done.out), plain(done.err)];
        resolve({ ...done, out, err, code: done.stopped ? 0 : code, all: out + err });
      });
    });
  }

  remove() {
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** Without colours and moves of the cursor. */
const plain = (text) => text.replace(/\x1b\[[\d;?]*[A-Za-z]/g, "");

/** Key by key: some prompts lose what comes at once. */
async function type(terminal, text) {
  for (const key of text) {
    terminal.write(key);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Asks again until the answer is there; the last complaint when it never comes. */
export async function eventually(ask, patience = 60_000) {
  const end = Date.now() + patience;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
