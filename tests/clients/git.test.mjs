// `git push` with a real git against a real server: what is too large, two at once, a pusher who
// leaves, and that nothing of a pusher's runs on the server's machine.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually } from "./driver.mjs";
import { freePort, serve } from "./server.mjs";

const APP = `import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"hola")
http.server.HTTPServer(("", int(os.environ["PORT"])), H).serve_forever()
`;

describe("git push", () => {
  const home = mkdtempSync(join(tmpdir(), "siesta-git-"));
  let server, tls, key, env;

  /** Runs git to its end. */
  const git = (folder, ...args) =>
    new Promise((resolve) => {
      const child = spawn("git", ["-C", folder, ...args], { env });
      let all = "";
      child.stdout.on("data", (chunk) => (all += chunk));
      child.stderr.on("data", (chunk) => (all += chunk));
      child.once("close", (code) => resolve({ code, all }));
    });
  const api = async (path, method = "GET", body = undefined) => {
    const headers = { authorization: `Bearer ${key}`, accept: "application/vnd.heroku+json; version=3", "content-type": "application/json" };
    const answer = await fetch(`${server.url}${path}`.replace(/(?<!:)\/\//, "/"), { method, headers, body: body && JSON.stringify(body) });
    return { status: answer.status, json: await answer.json().catch(() => null) };
  };
  const deploys = async (app) => (await api(`/apps/${app}/releases`)).json.filter(({ description }) => description.startsWith("Deploy"));

  /** A working copy with a small app and its remote. */
  const copy = async (app, name = app) => {
    const folder = join(home, name);
    mkdirSync(folder);
    await git(folder, "init", "-q", "-b", "main");
    await git(folder, "remote", "add", "heroku", `https://heroku:${key}@localhost:${tls}/${app}.git`);
    writeFileSync(join(folder, "Procfile"), "web: python app.py\n");
    writeFileSync(join(folder, "requirements.txt"), "");
    writeFileSync(join(folder, "app.py"), APP);
    return folder;
  };
  const commit = async (folder, message) => {
    await git(folder, "add", "-A", "-f");
    const done = await git(folder, "commit", "-q", "--allow-empty", "-m", message);
    assert.equal(done.code, 0, done.all);
  };

  before(async () => {
    tls = await freePort();
    server = await serve({ SIESTA_LISTEN_TLS: `127.0.0.1:${tls}`, SIESTA_MAX_UPLOAD_MB: "1" });
    server.siesta(["user", "create", "ana@example.org", "--admin"], "correct horse battery");
    key = server.siesta(["token", "create", "ana@example.org"]);
    writeFileSync(join(home, "ca.pem"), server.siesta(["ca"]) + "\n");
    env = {
      PATH: process.env.PATH,
      HOME: home,
      GIT_SSL_CAINFO: join(home, "ca.pem"),
      GIT_TERMINAL_PROMPT: "0",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_AUTHOR_NAME: "Ana",
      GIT_AUTHOR_EMAIL: "ana@example.org",
      GIT_COMMITTER_NAME: "Ana",
      GIT_COMMITTER_EMAIL: "ana@example.org",
    };
    for (const name of ["grande", "doble", "adios", "trampa"]) assert.equal((await api("/apps", "POST", { name })).status, 201);
  });

  after(async () => {
    await server?.stop();
    rmSync(home, { recursive: true, force: true });
  });

  test("a push that is too large is refused in words and leaves nothing", async () => {
    const folder = await copy("grande");
    writeFileSync(join(folder, "noise.bin"), randomBytes(2 * 1024 * 1024));
    await commit(folder, "grande");
    const pushed = await git(folder, "push", "heroku", "main");
    assert.notEqual(pushed.code, 0, pushed.all);
    assert.match(pushed.all, /exceeds maximum allowed size|unpack/i);
    assert.deepEqual(await deploys("grande"), []);
    const app = (await api("/apps/grande")).json.id;
    assert.equal(execFileSync("git", ["-C", join(server.data, "git", `${app}.git`), "count-objects", "-v"], { encoding: "utf8" }).match(/in-pack: (\d+)/)[1], "0");
  });

  test("of two pushes at once one is taken, and its commit is what runs", async () => {
    const [one, two] = [await copy("doble", "uno"), await copy("doble", "dos")];
    writeFileSync(join(two, "otro.txt"), "otro");
    await commit(one, "uno");
    await commit(two, "dos");
    const done = await Promise.all([git(one, "push", "heroku", "main"), git(two, "push", "heroku", "main")]);
    assert.deepEqual(done.map(({ code }) => code === 0).sort(), [false, true], done.map(({ all }) => all).join("\n----\n"));
    const lost = done.find(({ code }) => code !== 0);
    assert.match(lost.all, /Another push to this app is being built|Somebody else has pushed|fetch first|failed to push/);
    const taken = (await git(done[0].code === 0 ? one : two, "rev-parse", "HEAD")).all.slice(0, 8);
    assert.deepEqual((await deploys("doble")).map(({ description }) => description), [`Deploy ${taken}`]);
  });

  test("a pusher who leaves in the middle takes nothing along, and the next push works", async () => {
    const folder = await copy("adios");
    await commit(folder, "uno");
    const child = spawn("git", ["-C", folder, "push", "heroku", "main"], { env, detached: true });
    await new Promise((resolve) => {
      let all = "";
      const heard = (chunk) => (all += chunk).includes("----->") && resolve();
      child.stdout.on("data", heard);
      child.stderr.on("data", heard);
      child.once("close", resolve);
    });
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It was faster.
    }
    await eventually(async () => assert.equal((await deploys("adios")).length, 1), 120_000);
    await commit(folder, "dos");
    const again = await eventually(async () => {
      const pushed = await git(folder, "push", "heroku", "main");
      assert.equal(pushed.code, 0, pushed.all);
      return pushed;
    }, 120_000);
    assert.match(again.all, /-----> /);
    const head = (await git(folder, "rev-parse", "HEAD")).all.slice(0, 8);
    assert.ok((await deploys("adios")).some(({ description }) => description === `Deploy ${head}`));
  });

  test("no hook, filter or configuration of a pusher runs on the server", async () => {
    const folder = await copy("trampa");
    const marker = join(home, "ran");
    mkdirSync(join(folder, "hooks"));
    const evil = `#!/bin/sh\ntouch ${marker}\n`;
    for (const name of ["pre-receive", "post-receive", "update", "post-update"]) writeFileSync(join(folder, "hooks", name), evil, { mode: 0o755 });
    writeFileSync(join(folder, "config"), `[core]\n\thooksPath = hooks\n[filter "evil"]\n\tclean = touch ${marker}\n\tsmudge = touch ${marker}\n[alias]\n\tarchive = !touch ${marker}\n`);
    writeFileSync(join(folder, ".gitattributes"), "* filter=evil diff=evil\napp.py export-subst\n");
    writeFileSync(join(folder, ".gitconfig"), `[core]\n\tfsmonitor = touch ${marker}\n`);
    await commit(folder, "trampa");
    const other = await git(folder, "push", "heroku", "main:rama");
    const pushed = await git(folder, "push", "heroku", "main");
    assert.deepEqual([other.code, pushed.code], [0, 0], other.all + pushed.all);
    assert.ok(!existsSync(marker), "something of the pusher's ran");
    const app = (await api("/apps/trampa")).json.id;
    assert.match(readFileSync(join(server.data, "git", `${app}.git`, "config"), "utf8"), /hooksPath = ".*\/git\/hooks"/);
    assert.deepEqual(readdirSync(join(server.data, "git", "hooks")), ["pre-receive"]);
    assert.equal((await deploys("trampa")).length, 1, "the other branch was not built");
  });
});
