// The usual client libraries, unmodified, against a real server with real Docker: heroku3 from PyPI
// and heroku-client from npm. Each call's effect is looked at by another call. Then schemathesis
// goes over the OpenAPI document: no answer of 500, no answer of another shape than described.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Driver, eventually } from "./driver.mjs";
import { serve } from "./server.mjs";

const PYTHON = process.env.CLIENTS_PYTHON;
const SCRIPT = new URL("heroku3_calls.py", import.meta.url).pathname;
const require = createRequire(join(process.env.CLIENTS_NODE, "package.json"));

const CODE = `import http.server, os, sys, time
if sys.argv[1:] == ["worker"]:
    while True: time.sleep(3600)
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"hola")
http.server.HTTPServer(("", int(os.environ["PORT"])), H).serve_forever()
`;

describe("client libraries", () => {
  const home = mkdtempSync(join(tmpdir(), "siesta-libraries-"));
  const tools = new Driver({ program: "", variables: {} });
  let server, key, url;

  before(async () => {
    server = await serve({ SIESTA_EGRESS_ALLOW: "127.0.0.0/8" });
    server.siesta(["user", "create", "ana@example.org", "--admin"], "correct horse battery");
    server.siesta(["user", "create", "bob@example.org"], "correct horse battery");
    key = server.siesta(["token", "create", "ana@example.org"]);
    url = server.url.replace(/\/$/, "");
    const folder = join(home, "app");
    mkdirSync(folder);
    writeFileSync(join(folder, "Procfile"), "web: python app.py\nworker: python app.py worker\n");
    writeFileSync(join(folder, "requirements.txt"), "");
    writeFileSync(join(folder, "app.py"), CODE);
    for (const app of ["con-heroku3", "con-node"]) server.siesta(["deploy", "--app", app, folder]);
  });

  after(async () => {
    tools.remove();
    await server?.stop();
    rmSync(home, { recursive: true, force: true });
  });

  test("heroku3", async () => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const spare = await (await fetch(`${url}/oauth/authorizations`, { method: "POST", headers, body: '{"description":"de heroku3"}' })).json();
    const env = { SIESTA_URL: url, HEROKU_API_KEY: key, SPARE_AUTHORIZATION: spare.id };
    const done = await tools.start(PYTHON, [SCRIPT], { env, patience: 300_000 });
    assert.equal(done.code, 0, done.all);
  });

  test("heroku-client", async () => {
    const Heroku = require("heroku-client");
    const heroku = new Heroku({ host: url, token: key });
    const app = "/apps/con-node";
    assert.equal((await heroku.get("/account")).email, "ana@example.org");
    const made = await heroku.post("/apps", { body: { name: "con-node-otra" } });
    assert.equal((await heroku.patch(`/apps/${made.id}`, { body: { name: "con-node-dos" } })).name, "con-node-dos");
    await heroku.delete("/apps/con-node-dos");
    assert.deepEqual((await heroku.get("/apps")).map(({ name }) => name), ["con-heroku3", "con-node"]);
    await assert.rejects(heroku.get("/apps/con-node-dos"), (error) => error.statusCode === 404 && error.body.id === "not_found");

    await heroku.patch(`${app}/config-vars`, { body: { UNO: "1", DOS: "2" } });
    await heroku.patch(`${app}/config-vars`, { body: { DOS: null } });
    assert.deepEqual(await heroku.get(`${app}/config-vars`), { UNO: "1" });
    await heroku.patch(`${app}/formation`, { body: { updates: [{ type: "worker", quantity: 1 }] } });
    await eventually(async () => assert.ok((await heroku.get(`${app}/dynos`)).some(({ type, state }) => type === "worker" && state === "up")));
    await heroku.patch(`${app}/formation/worker`, { body: { quantity: 0 } });
    await eventually(async () => assert.ok((await heroku.get(`${app}/dynos`)).every(({ type }) => type !== "worker")));
    const [before] = await heroku.get(`${app}/dynos`);
    await heroku.delete(`${app}/dynos/web.1`);
    await eventually(async () => assert.notEqual((await heroku.get(`${app}/dynos`))[0].id, before.id));

    const session = await heroku.post(`${app}/log-sessions`, { body: { lines: 1000 } });
    assert.match(await (await fetch(session.logplex_url)).text(), /app\[api\]: Deploy/);
    const releases = await heroku.get(`${app}/releases`);
    const first = releases.find(({ slug }) => slug);
    await heroku.post(`${app}/releases`, { body: { release: first.id } });
    assert.deepEqual(await heroku.get(`${app}/config-vars`), {});
    const newest = await heroku.request({ path: `${app}/releases`, headers: { Range: "version ..; max=1, order=desc" }, partial: true });
    assert.deepEqual(newest.map(({ description }) => description), [`Rollback to v${first.version}`]);

    await heroku.post(`${app}/collaborators`, { body: { user: "bob@example.org", silent: true } });
    assert.ok((await heroku.get(`${app}/collaborators`)).some(({ user }) => user.email === "bob@example.org"));
    await heroku.delete(`${app}/collaborators/bob@example.org`);
    assert.equal((await heroku.get(`${app}/collaborators`)).length, 1);
    const domain = await heroku.post(`${app}/domains`, { body: { hostname: "node.example.org" } });
    await heroku.delete(`${app}/domains/${domain.id}`);
    assert.equal((await heroku.get(`${app}/domains`)).length, 1);
    const addon = await heroku.post(`${app}/addons`, { body: { plan: "heroku-postgresql:mini" } });
    assert.ok((await heroku.get(`${app}/addons`)).some(({ id }) => id === addon.id));
    await heroku.delete(`${app}/addons/${addon.id}`);
    await eventually(async () => assert.deepEqual(await heroku.get(`${app}/addons`), []));
    const hook = await heroku.post(`${app}/webhooks`, { body: { url: "https://127.0.0.1:9/in", include: ["api:app"], level: "notify" } });
    await heroku.patch(app, { body: { maintenance: true } });
    await eventually(async () => assert.equal((await heroku.get(`${app}/webhook-deliveries`))[0]?.status, "failed"));
    await heroku.delete(`${app}/webhooks/${hook.id}`);
    await heroku.patch(app, { body: { maintenance: false } });
    assert.equal((await heroku.get(app)).maintenance, false);
  });

  test("schemathesis", async () => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    assert.equal((await fetch(`${url}/apps`, { method: "POST", headers, body: '{"name":"tanteo"}' })).status, 201);
    writeFileSync(
      join(home, "schemathesis.toml"),
      `[parameters]\n"path.app" = "tanteo"\n"path.account" = "~"\n"path.release" = "v1"\n"path.feature" = "preboot"\n`,
    );
    const seconds = process.env.SIESTA_TEST_SOAK ? "180" : "15";
    const checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    const done = await tools.start(
      join(PYTHON, "../schemathesis"),
      [
        "--config-file", join(home, "schemathesis.toml"), "run", `${url}/openapi.json`,
        "--header", `Authorization: Bearer ${key}`, "--checks", checks, "--max-examples", "3", "--max-time", seconds, "--phases", "fuzzing",
        "--exclude-operation-id", "delete-apps-app", "--exclude-operation-id", "delete-oauth-authorizations-authorization",
        "--exclude-operation-id", "post-oauth-authorizations-authorization-actions-regenerate-tokens",
        "--exclude-operation-id", "get-streams-log-token", "--exclude-operation-id", "get-streams-build-token",
        "--suppress-health-check", "all", "--no-color",
      ],
      { cwd: home, patience: 900_000 },
    );
    assert.equal(done.code, 0, done.all.slice(-20_000));
  });
});
