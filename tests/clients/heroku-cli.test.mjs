// The official Heroku CLI, unmodified, the newest and an older one, each against a real server: every
// command of the table in commands.mjs, its exit code, what it says and what it did. The table with the
// results is docs/heroku-cli.md; SIESTA_WRITE_DOCS=1 writes it anew.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { commands, impossible, reference } from "./commands.mjs";
import { Driver } from "./driver.mjs";
import { door } from "./remote.mjs";
import { freePort, serve } from "./server.mjs";

const PASSWORD = "correct horse battery";
const EXAMPLE = new URL("../../examples/tienda-videojuegos/", import.meta.url).pathname;
const DOCS = new URL("../../docs/heroku-cli.md", import.meta.url).pathname;
const CLIENTS = process.env.HEROKU_CLIS.split(":").filter(Boolean);

test("every command of the reference is driven or named as impossible", () => {
  const driven = new Set([...commands.map(({ name }) => name), ...impossible.map(([name]) => name)]);
  assert.deepEqual(reference.filter((name) => !driven.has(name)), []);
});

/** What came of each command, by version of the CLI. */
const results = new Map();

// Side by side: each has a server of its own.
describe("the official CLI", { concurrency: CLIENTS.length }, () => {
  for (const [index, folder] of CLIENTS.entries()) drive(folder, index > 0);
});

test("the table in the docs says the same", () => {
  const page = document();
  if (process.env.SIESTA_WRITE_DOCS) writeFileSync(DOCS, page);
  assert.equal(readFileSync(DOCS, "utf8"), page, "run with SIESTA_WRITE_DOCS=1 to write docs/heroku-cli.md anew");
});

/**
 * Drives one version of the CLI through the whole table. `far`: as on a machine from which the server can be reached
 * by its https port alone, with what `siesta proxy` prints and nothing else; otherwise directly over https.
 */
function drive(folder, far) {
  const { version, bin } = JSON.parse(readFileSync(join(folder, "node_modules/heroku/package.json"), "utf8"));
  const passed = new Map();
  results.set(version, passed);

  describe(`heroku ${version}`, { concurrency: 1 }, () => {
    const world = { email: "ana@example.org", password: PASSWORD, app: "tienda", example: EXAMPLE, version, far, closing: [] };

    before(async () => {
      world.tls = await freePort();
      // An address of the server that nobody knows far away: what names it there does not work.
      world.address = far ? "127.9.8.7" : "127.0.0.1";
      world.server = await serve({ SIESTA_LISTEN: `${world.address}:0`, SIESTA_LISTEN_TLS: `127.0.0.1:${world.tls}`, SIESTA_EGRESS_ALLOW: "127.0.0.0/8" });
      world.server.siesta(["user", "create", world.email, "--admin"], PASSWORD);
      world.server.siesta(["user", "create", "bob@example.org"], PASSWORD);
      world.key = world.server.siesta(["token", "create", world.email]);
      world.port = new URL(world.server.url).port;
      world.http = `http://${world.address}:${world.port}`;
      world.ca = join(world.server.data, "ca.pem");
      writeFileSync(world.ca, world.server.siesta(["ca"]) + "\n");
      world.heroku = new Driver({ program: join(folder, "node_modules/heroku", bin), variables: {} });
      Object.assign(world.heroku.env, far ? await door(world) : direct(world));
      world.git = world.heroku.env.HEROKU_GIT_HOST;
      mkdirSync(join(world.heroku.home, "bin"));
      writeFileSync(join(world.heroku.home, "bin/heroku"), `#!/bin/sh\nexec "${process.execPath}" "${world.heroku.program}" "$@"\n`, { mode: 0o755 });
      execFileSync("git", ["config", "--global", "user.email", world.email], { env: world.heroku.env });
      execFileSync("git", ["config", "--global", "user.name", "Ana"], { env: world.heroku.env });
      execFileSync("git", ["config", "--global", "init.defaultBranch", "main"], { env: world.heroku.env });
      /** A call of the API, to see what a command did. */
      world.api = async (path, { method = "GET", body, headers = {} } = {}) => {
        const answer = await fetch(`${world.http}${path}`, {
          method,
          headers: { authorization: `Bearer ${world.key}`, accept: "application/vnd.heroku+json; version=3", "content-type": "application/json", ...headers },
          body: body && JSON.stringify(body),
        });
        return { status: answer.status, headers: answer.headers, json: await answer.json().catch(() => null) };
      };
    });

    after(async () => {
      for (const close of world.closing) close();
      world.heroku?.remove();
      await world.server?.stop();
    });

    for (const { name, args, says, fails, effect, first, options } of commands) {
      test(`heroku ${name}`, async () => {
        try {
          await first?.(world);
          const line = typeof args === "function" ? args(world) : args;
          const done = await world.heroku.run(line, options?.(world));
          world.last = done;
          const shown = `heroku ${line.join(" ")}\nexit ${done.code}\n${done.all}`;
          if (fails) assert.notEqual(done.code, 0, shown);
          else assert.equal(done.code, 0, shown);
          for (const pattern of [says ?? []].flat()) assert.match(done.all, pattern, shown);
          await effect?.(world, done);
          if (!passed.has(name)) passed.set(name, true);
        } catch (error) {
          passed.set(name, false);
          throw error;
        }
      });
    }
  });
}

/** What the docs say for the server's own machine, over https. */
function direct({ tls, key, ca }) {
  const origin = `https://localhost:${tls}`;
  return {
    HEROKU_HOST: origin,
    HEROKU_API_KEY: key,
    HEROKU_GIT_HOST: `localhost:${tls}`,
    HEROKU_DATA_HOST: "localhost",
    HEROKU_REDIS_HOST: "localhost",
    HEROKU_PARTICLEBOARD_URL: origin,
    HEROKU_BUILDPACK_REGISTRY_URL: origin,
    HEROKU_LOGIN_HOST: origin,
    NODE_EXTRA_CA_CERTS: ca,
    GIT_SSL_CAINFO: ca,
  };
}

/** The page of the docs. */
function document() {
  const seen = new Map();
  for (const { name, effectText } of commands) seen.set(name, [...(seen.get(name) ?? []), effectText].filter(Boolean));
  const cells = (name) => [...results.values()].map((passed) => (passed.get(name) ? "passes" : "**fails**")).join(" | ");
  const rows = [...seen].map(([name, texts]) => `| \`heroku ${name}\` | ${texts.join("; ")} | ${cells(name)} |`);
  const others = impossible.map(([name, why]) => `| \`heroku ${name}\` | ${why} |`);
  return `# The official Heroku CLI

Written by \`tests/clients/heroku-cli.test.mjs\`, which runs every command below with unmodified CLIs from npm
(${[...results.keys()].map((version) => `\`heroku\` ${version}`).join(" and ")}), each against a freshly started server with real Docker: the newer one
directly over https, the older one from afar, through \`siesta proxy\` alone.

## Point it at your server

\`\`\`sh
export HEROKU_HOST=http://localhost:8080          # the server's address as seen from this machine: loopback only
export HEROKU_API_KEY=HRKU-...                    # siesta token create you@example.org, or the dashboard
export HEROKU_GIT_HOST=localhost:8443             # git push goes over https
export HEROKU_DATA_HOST=localhost                 # pg:* and redis:*
export HEROKU_REDIS_HOST=localhost                # redis:* of older versions
export HEROKU_PARTICLEBOARD_URL=$HEROKU_HOST      # else the CLI sends your key to Heroku as well
export HEROKU_LOGIN_HOST=$HEROKU_HOST             # heroku login
export DISABLE_TELEMETRY=true HEROKU_SKIP_ANALYTICS=1 HEROKU_DISABLE_AUTOUPDATE=1
siesta ca > ~/siesta-ca.pem                       # the certificate of the local CA
export NODE_EXTRA_CA_CERTS=~/siesta-ca.pem GIT_SSL_CAINFO=~/siesta-ca.pem
heroku auth:whoami                                # must print your address
\`\`\`

The CLI accepts another host only on loopback. Newer versions answer anything else with a warning and go on
**against Heroku, with your key**: check with \`heroku auth:whoami\`. Versions before 11 leave git's password to you, unless it
goes through \`siesta proxy\`: \`git config --global credential.https://localhost:8443.helper '!heroku git:credentials'\`.

## From another machine, and psql from anywhere

\`\`\`sh
siesta login https://siesta.example.org:8443 --ca ca.pem   # asks for an API key; or --email YOU and your password
siesta proxy                                               # prints the export lines and stays open
\`\`\`

The proxy listens on loopback alone: port 5080 is the API, \`git push\`, \`heroku run\` and \`heroku logs\`; your own databases are
on port 5432 of the address it prints as \`PGHOSTADDR\`. The server needs to be reachable by its https port and by nothing
else. The proxy adds no key to what passes through; \`git\` takes it from the shell, for this door alone. What clients on your
machine trust is a certificate for \`localhost\`, made anew at each start and good for nothing else. \`heroku pg:psql\` and the
other commands that run \`psql\` need the proxy on the server's own machine too: databases are in no network but the apps'.
\`--ca\` is what \`siesta ca\` prints on the server; with a public certificate it is not needed. A cancellation (Ctrl-C in a
query) does not pass; end the query with \`heroku pg:killall\`.

## \`heroku login\`

\`heroku login\` opens the dashboard, where you say yes to the terminal that asks; it gets a key of its own for 30 days. Set
\`HEROKU_LOGIN_HOST\` to the same address as \`HEROKU_HOST\`, and leave \`HEROKU_API_KEY\` unset. \`heroku login --interactive\` asks
for address, password and a code of the second factor in the terminal instead.

## What it does

| Command | What the test sees | ${[...results.keys()].join(" | ")} |
| --- | --- |${" --- |".repeat(results.size)}
${rows.join("\n")}

## What it cannot do here, and what to use instead

| Command | Instead |
| --- | --- |
${others.join("\n")}
`;
}
