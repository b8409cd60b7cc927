// The official Heroku CLI, unmodified, against a real server: every command of the table in
// commands.mjs, its exit code, what it says and what it did. The table with the results is
// docs/heroku-cli.md; SIESTA_WRITE_DOCS=1 writes it anew.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { commands, impossible, reference } from "./commands.mjs";
import { Driver } from "./driver.mjs";
import { freePort, serve } from "./server.mjs";

const PASSWORD = "correct horse battery";
const EXAMPLE = new URL("../../examples/tienda-videojuegos/", import.meta.url).pathname;
const DOCS = new URL("../../docs/heroku-cli.md", import.meta.url).pathname;
const CLIENTS = process.env.HEROKU_CLIS.split(":").filter(Boolean);

test("every command of the reference is driven or named as impossible", () => {
  const driven = new Set([...commands.map(({ name }) => name), ...impossible.map(([name]) => name)]);
  assert.deepEqual(reference.filter((name) => !driven.has(name)), []);
});

for (const [index, folder] of CLIENTS.entries()) {
  const version = JSON.parse(readFileSync(join(folder, "node_modules/heroku/package.json"), "utf8")).version;

  describe(`heroku ${version}`, () => {
    const world = { email: "ana@example.org", password: PASSWORD, app: "tienda", example: EXAMPLE, version, closing: [] };
    const results = new Map();

    before(async () => {
      const tls = await freePort();
      world.server = await serve({ SIESTA_LISTEN_TLS: `127.0.0.1:${tls}`, SIESTA_EGRESS_ALLOW: "127.0.0.0/8" });
      world.server.siesta(["user", "create", world.email, "--admin"], PASSWORD);
      world.server.siesta(["user", "create", "bob@example.org"], PASSWORD);
      world.key = world.server.siesta(["token", "create", world.email]);
      world.tls = tls;
      world.port = new URL(world.server.url).port;
      const ca = join(world.server.data, "ca.pem");
      writeFileSync(ca, world.server.siesta(["ca"]) + "\n");
      world.ca = ca;
      // One version speaks plain http to the API, the next https.
      const origin = index % 2 === 0 ? `http://localhost:${world.port}` : `https://localhost:${tls}`;
      world.origin = origin;
      world.heroku = new Driver({
        program: join(folder, "node_modules/heroku/bin/run.js"),
        variables: {
          HEROKU_HOST: origin,
          HEROKU_API_KEY: world.key,
          HEROKU_GIT_HOST: `localhost:${tls}`,
          HEROKU_DATA_HOST: "localhost",
          HEROKU_PARTICLEBOARD_URL: origin,
          HEROKU_BUILDPACK_REGISTRY_URL: origin,
          HEROKU_LOGIN_HOST: origin,
          NODE_EXTRA_CA_CERTS: ca,
          GIT_SSL_CAINFO: ca,
        },
      });
      mkdirSync(join(world.heroku.home, "bin"));
      writeFileSync(join(world.heroku.home, "bin/heroku"), `#!/bin/sh\nexec "${process.execPath}" "${world.heroku.program}" "$@"\n`, { mode: 0o755 });
      execFileSync("git", ["config", "--global", "user.email", world.email], { env: world.heroku.env });
      execFileSync("git", ["config", "--global", "user.name", "Ana"], { env: world.heroku.env });
      execFileSync("git", ["config", "--global", "init.defaultBranch", "main"], { env: world.heroku.env });
      /** A call of the API, to see what a command did. */
      world.api = async (path, { method = "GET", body, headers = {} } = {}) => {
        const answer = await fetch(`http://localhost:${world.port}${path}`, {
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

    for (const { name, args, says, fails, effect, first, options, skip } of commands) {
      test(`heroku ${name}`, { skip: skip?.(world) ?? false }, async () => {
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
          if (!results.has(name)) results.set(name, true);
        } catch (error) {
          results.set(name, false);
          throw error;
        }
      });
    }

    test("the table in the docs says the same", { skip: index > 0 }, () => {
      const page = document(version, results);
      if (process.env.SIESTA_WRITE_DOCS) writeFileSync(DOCS, page);
      assert.equal(readFileSync(DOCS, "utf8"), page, "run with SIESTA_WRITE_DOCS=1 to write docs/heroku-cli.md anew");
    });
  });
}

/** The page of the docs. */
function document(version, results) {
  const seen = new Map();
  for (const { name, effectText } of commands) seen.set(name, [...(seen.get(name) ?? []), effectText].filter(Boolean));
  const rows = [...seen].map(([name, texts]) => `| \`heroku ${name}\` | ${texts.join("; ")} | ${results.get(name) ? "passes" : "**fails**"} |`);
  const others = impossible.map(([name, why]) => `| \`heroku ${name}\` | ${why} |`);
  return `# The official Heroku CLI

Written by \`tests/clients/heroku-cli.test.mjs\`, which runs every command below with the unmodified CLI from npm
(\`heroku\` ${version}; with \`script/test --soak\` also an older one) against a freshly started server with real Docker.

## Point it at your server

\`\`\`sh
export HEROKU_HOST=http://localhost:8080          # the server's address as seen from this machine: loopback only
export HEROKU_API_KEY=HRKU-...                    # siesta token create you@example.org, or the dashboard
export HEROKU_GIT_HOST=localhost:8443             # git push goes over https
export HEROKU_DATA_HOST=localhost                 # pg:*
export HEROKU_PARTICLEBOARD_URL=$HEROKU_HOST      # else the CLI sends your key to Heroku as well
export DISABLE_TELEMETRY=true HEROKU_SKIP_ANALYTICS=1 HEROKU_DISABLE_AUTOUPDATE=1
siesta ca > ~/siesta-ca.pem                       # the certificate of the local CA
export NODE_EXTRA_CA_CERTS=~/siesta-ca.pem GIT_SSL_CAINFO=~/siesta-ca.pem
heroku auth:whoami                                # must print your address
\`\`\`

The CLI accepts another host only on loopback. Newer versions answer anything else with a warning and go on
**against Heroku, with your key**: check with \`heroku auth:whoami\`.

## From another machine, and psql from anywhere

\`\`\`sh
siesta login https://siesta.example.org:8443 --ca ca.pem   # asks for an API key; or --email YOU and your password
siesta proxy                                               # prints the export lines and stays open
\`\`\`

The proxy listens on loopback alone: the API on \`localhost:5080\`, and your own databases on port 5432 of the address it
prints as \`PGHOSTADDR\`. It adds no key to what passes through the API; \`git\` and \`heroku run\` go straight to the server's
https port, which must be reachable. \`heroku pg:psql\` and the other commands that run \`psql\` need the proxy on the server's
own machine too: databases are in no network but the apps'. \`--ca\` is what \`siesta ca\` prints on the server; with a public
certificate it is not needed. A cancellation (Ctrl-C in a query) does not pass; end the query with \`heroku pg:killall\`.

## What it does

| Command | What the test sees | Result |
| --- | --- | --- |
${rows.join("\n")}

## What it cannot do here, and what to use instead

| Command | Instead |
| --- | --- |
${others.join("\n")}
`;
}
