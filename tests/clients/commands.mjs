// The table: what is typed, what must be seen, what it must have done. In order: one app's life.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { eventually } from "./driver.mjs";
import { databases, logins, runs } from "./remote.mjs";

/** The commands that people use, by the reference of clients: each is driven below or named as impossible. */
export const reference = `
  auth:whoami auth:token auth:login auth:logout authorizations authorizations:create authorizations:info authorizations:update authorizations:rotate authorizations:revoke
  apps apps:create apps:info apps:rename apps:destroy apps:transfer apps:stacks apps:stacks:set maintenance maintenance:on maintenance:off
  access access:add access:remove features features:info features:enable features:disable labs
  config config:get config:set config:unset
  ps ps:scale ps:type ps:restart ps:stop ps:wait
  releases releases:info releases:rollback releases:output
  logs run run:inside run:detached
  domains domains:add domains:info domains:remove domains:wait domains:clear certs certs:add drains drains:add drains:remove
  webhooks webhooks:add webhooks:info webhooks:update webhooks:remove webhooks:deliveries webhooks:events
  addons addons:create addons:info addons:destroy addons:upgrade addons:attach addons:detach addons:plans addons:services addons:docs addons:wait
  pg:info pg:wait pg:psql pg:ps pg:credentials:url pg:backups pg:backups:capture pg:backups:url pg:backups:info pg:backups:restore pg:backups:delete pg:backups:schedule pg:backups:schedules pg:backups:unschedule pg:reset
  buildpacks buildpacks:add buildpacks:set buildpacks:clear
  pipelines pipelines:create pipelines:add pipelines:info pipelines:promote pipelines:remove pipelines:rename pipelines:update pipelines:destroy
  keys keys:add regions teams spaces clients usage:addons local local:run
  git:remote git:clone builds:create
  container:push ps:exec status apps:errors ps:autoscale:enable ci notifications redis:info
`
  .trim()
  .split(/\s+/);

/** What cannot work against another host or is not offered, and what to use instead. */
export const impossible = [
  ["builds:create", "A plugin that newer versions of the CLI refuse. `siesta deploy --app NAME FOLDER`, the dashboard's Deploy tab, or the API: `POST /sources`, `PUT`, `POST /apps/NAME/builds`."],
  ["container:push", "The CLI makes the registry's name out of `HEROKU_HOST` and fails. Deploy the folder."],
  ["ps:exec", "Goes to a fixed host. `heroku run bash`, or the console in the dashboard."],
  ["status", "Asks Heroku's own status page. `siesta status`, or the dashboard."],
  ["apps:errors", "Asks a fixed metrics host. `heroku logs`, and the Activity page."],
  ["ps:autoscale:enable", "There is one dyno a process type."],
  ["ci", "Heroku CI is not offered. `Wait for CI` on the Deploy tab follows GitHub's checks."],
  ["notifications", "Asks a fixed host. Webhooks: `heroku webhooks:add`."],
  ["certs:add", "A certificate for all hosts is set by the operator (`SIESTA_TLS_CERT`, `SIESTA_TLS_KEY`). The server says so."],
];

const A = ["--app", "tienda"];
const equal = assert.deepEqual;
const app = async ({ api }) => (await api("/apps/tienda")).json;
const newest = async ({ api }) => (await api("/apps/tienda/releases", { headers: { range: "version ..; order=desc,max=1" } })).json[0];
const dyno = async ({ api }, type = "web") => (await api("/apps/tienda/dynos")).json.find((one) => one.type === type);

/** Waits until every dyno that runs is of the newest release, and answers. */
const onNewest = (world) =>
  eventually(async () => {
    equal((await visit(world)).status, 200);
    const { version } = await newest(world);
    const dynos = (await world.api("/apps/tienda/dynos")).json.filter(({ type }) => type !== "run");
    assert.ok(dynos.length > 0);
    equal(dynos.map(({ release, state }) => [release.version, state]), dynos.map(() => [version, "up"]));
  }, 120_000);

/** Asks the app for its front page, waking it. */
function visit({ address, port }, host = "tienda.localhost") {
  return new Promise((resolve, reject) => {
    const asked = request({ host: address, port, path: "/", headers: { host: `${host}:${port}` } }, (answer) => {
      let body = "";
      answer.on("data", (chunk) => (body += chunk));
      answer.on("end", () => resolve({ status: answer.statusCode, body }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

export const commands = [
  // --- who I am
  { name: "auth:whoami", args: ["auth:whoami"], says: /^ana@example\.org$/m, effectText: "prints the account's address" },
  { name: "auth:token", args: ["auth:token"], effectText: "prints the key", effect: ({ key }, { out }) => assert.ok(out.includes(key)) },
  { name: "authorizations", args: ["authorizations"], effectText: "lists the API tokens", says: /HRKU|API token|CLI|[0-9a-f-]{36}/i },
  {
    name: "authorizations:create",
    args: ["authorizations:create", "-d", "robot"],
    says: /robot/,
    effectText: "a new token that works",
    effect: async (world, { out }) => {
      const token = (world.robotKey = out.match(/HRKU-\S+/)[0]);
      const answer = await fetch(`${world.http}/account`, { headers: { authorization: `Bearer ${token}` } });
      equal(answer.status, 200);
    },
  },

  {
    name: "authorizations:info",
    args: (world) => ["authorizations:info", world.robot],
    says: /robot/,
    effectText: "one of them",
    first: async (world) => {
      world.robot = (await world.api("/oauth/authorizations")).json.find(({ description }) => description === "robot").id;
    },
  },
  {
    name: "authorizations:update",
    args: (world) => ["authorizations:update", world.robot, "--description", "autómata"],
    effectText: "another name",
    effect: async (world) => equal((await world.api(`/oauth/authorizations/${world.robot}`)).json.description, "autómata"),
  },
  {
    name: "authorizations:rotate",
    args: (world) => ["authorizations:rotate", world.robot],
    effectText: "another secret; the old one opens nothing any more",
    effect: async (world, { out }) => {
      const open = async (key) => (await fetch(`${world.http}/account`, { headers: { authorization: `Bearer ${key}` } })).status;
      equal([await open(out.match(/HRKU-\S+/)[0]), await open(world.robotKey)], [200, 401]);
    },
  },
  {
    name: "authorizations:revoke",
    args: (world) => ["authorizations:revoke", world.robot],
    effectText: "and not any more",
    effect: async (world) => equal((await world.api(`/oauth/authorizations/${world.robot}`)).status, 404),
  },

  ...logins,

  // --- apps
  {
    name: "apps:create",
    args: ["apps:create", "tienda"],
    says: [/tienda/, /http:\/\/tienda\.localhost:\d+\//],
    effectText: "the app is there",
    effect: async (world) => equal((await app(world)).name, "tienda"),
  },
  { name: "apps:create", args: ["apps:create", "tienda"], fails: true, says: /Name is already taken/, effectText: "a taken name is refused in Heroku's words" },
  { name: "apps", args: ["apps"], says: /ana@example\.org Apps[\s\S]*tienda/, effectText: "lists it" },
  {
    name: "apps",
    args: ["apps", "--all"],
    // Directly, plain http is as good on the server's own machine.
    options: ({ far, http }) => (far ? {} : { env: { HEROKU_HOST: http.replace("127.0.0.1", "localhost") } }),
    says: /tienda/,
  },
  { name: "apps:info", args: ["apps:info", ...A], says: [/Owner:\s+ana@example\.org/, /Web URL:\s+http:\/\/tienda\.localhost/], effectText: "owner, address, stack, sizes" },
  { name: "apps:stacks", args: ["apps:stacks", ...A], says: /siesta-12/, effectText: "the one stack" },
  {
    name: "git:remote",
    args: ["git:remote", ...A],
    effectText: "adds the remote",
    first: ({ heroku, example }) => {
      const folder = join(heroku.home, "work");
      mkdirSync(folder, { recursive: true });
      execFileSync("cp", ["-r", `${example}.`, folder]);
      execFileSync("git", ["init", "-q", "-b", "main", folder], { env: heroku.env });
    },
    options: ({ heroku }) => ({ cwd: join(heroku.home, "work") }),
    effect: ({ heroku, git }) => {
      const url = execFileSync("git", ["-C", join(heroku.home, "work"), "remote", "get-url", "heroku"], { encoding: "utf8", env: heroku.env }).trim();
      equal(url, `https://${git}/tienda.git`);
    },
  },

  // --- config, before anything is deployed
  {
    name: "config:set",
    args: ["config:set", "SALUDO=hola mundo", "VACIA=", ...A],
    says: /v\d+/,
    effectText: "a release with the values",
    effect: async (world) => {
      equal((await world.api("/apps/tienda/config-vars")).json, { SALUDO: "hola mundo", VACIA: "" });
      assert.match((await newest(world)).description, /^Set .*config vars$/);
    },
  },
  { name: "config", args: ["config", ...A], says: /SALUDO:\s+hola mundo/, effectText: "lists them" },
  { name: "config:get", args: ["config:get", "SALUDO", ...A], says: /^hola mundo$/m, effectText: "prints one value" },
  {
    name: "config:unset",
    args: ["config:unset", "VACIA", ...A],
    effectText: "takes one away",
    effect: async ({ api }) => equal((await api("/apps/tienda/config-vars")).json, { SALUDO: "hola mundo" }),
  },

  // --- releases and dynos of a deployed app
  {
    name: "releases",
    args: ["releases", ...A],
    says: [/Current: v\d+/, /Deploy/],
    effectText: "versions, what they were, by whom",
    first: ({ server, example }) => server.slowly(["deploy", "--app", "tienda", "--version", "primera", example]),
  },
  { name: "releases:info", args: ["releases:info", ...A], says: [/Release v\d+/, /By:\s+ana@example\.org/], effectText: "the newest" },
  { name: "releases:info", args: ["releases:info", "v1", ...A], says: /Release v1/, effectText: "one by its number" },
  { name: "releases:output", args: ["releases:output", ...A], says: /no release output|Release/i, effectText: "says that there is none" },
  {
    name: "ps",
    args: ["ps", ...A],
    says: /=== web[\s\S]*web\.1: up/,
    effectText: "the dyno's state",
    first: async (world) => eventually(async () => equal([(await visit(world)).status, (await dyno(world)).state], [200, "up"])),
  },
  { name: "ps:scale", args: ["ps:scale", ...A], says: /web=1/, effectText: "shows the formation" },
  {
    name: "ps:scale",
    args: ["ps:scale", "worker=1", ...A],
    says: /worker at 1/,
    effectText: "starts a dyno",
    effect: (world) => eventually(async () => equal((await dyno(world, "worker")).state, "up")),
  },
  {
    name: "ps:scale",
    args: ["ps:scale", "worker-1", ...A],
    effectText: "takes signs",
    effect: (world) => eventually(async () => equal(await dyno(world, "worker"), undefined)),
  },
  { name: "ps:type", args: ["ps:type", ...A], says: /web/, effectText: "shows the size" },
  {
    name: "ps:restart",
    args: ["ps:restart", ...A],
    effectText: "a new dyno runs",
    first: async (world) => {
      await eventually(async () => equal((await dyno(world)).state, "up"));
      world.before = (await dyno(world)).id;
    },
    effect: (world) =>
      eventually(async () => {
        const now = await dyno(world);
        assert.notEqual(now?.id, world.before);
        equal(now?.state, "up");
      }),
  },
  { name: "ps:restart", args: ["ps:restart", "web.1", ...A], effectText: "one dyno by name" },
  { name: "ps:wait", args: ["ps:wait", ...A], effectText: "ends when all dynos have the newest release" },
  {
    name: "ps:stop",
    args: ["ps:stop", "web.1", ...A],
    effectText: "the dyno is stopped",
    first: (world) => eventually(async () => equal((await dyno(world)).state, "up")),
    effect: (world) => eventually(async () => assert.notEqual((await dyno(world))?.state, "up")),
  },
  {
    name: "releases:rollback",
    args: ["releases:rollback", ...A],
    says: /Rolling back/,
    effectText: "a new release with the old config",
    first: async ({ api }) => equal((await api("/apps/tienda/config-vars", { method: "PATCH", body: { ROTO: "1" } })).status, 200),
    effect: async (world) => {
      assert.match((await newest(world)).description, /^Rollback to v\d+$/);
      equal((await world.api("/apps/tienda/config-vars")).json.ROTO, undefined);
    },
  },

  ...runs,

  // --- logs
  {
    name: "logs",
    args: ["logs", ...A],
    says: [/heroku\[web\.1\]: /, /app\[api\]: /],
    effectText: "the last lines of all sources",
    first: (world) => eventually(async () => equal((await visit(world)).status, 200)),
  },
  { name: "logs", args: ({ version }) => ["logs", version.startsWith("9.") ? "--dyno" : "--dyno-name", "web", "--source", "heroku", "-n", "5", ...A], says: /heroku\[web\.1\]/, effectText: "filters" },
  {
    name: "logs",
    args: ["logs", "--tail", ...A],
    effectText: "`--tail` shows a request as it comes",
    first: async (world) => {
      world.knock = setInterval(() => void visit(world, "tienda.localhost").catch(() => {}), 500);
    },
    options: () => ({ until: /heroku\[router\]: at=info method=GET/ }),
    effect: (world, done) => {
      clearInterval(world.knock);
      assert.ok(done.stopped, done.all);
    },
  },

  // --- settings
  {
    name: "maintenance:on",
    args: ["maintenance:on", ...A],
    effectText: "visitors get 503",
    effect: async (world) => equal((await visit(world)).status, 503),
  },
  { name: "maintenance", args: ["maintenance", ...A], says: /^on$/m, effectText: "says whether it is on" },
  { name: "maintenance:off", args: ["maintenance:off", ...A], effectText: "visitors get the app", effect: (world) => eventually(async () => equal((await visit(world)).status, 200)) },
  { name: "domains", args: ["domains", ...A], says: /tienda\.localhost/, effectText: "the app's host names" },
  {
    name: "access:add",
    args: ["access:add", "bob@example.org", ...A],
    effectText: "the other account may touch the app",
    effect: async ({ api }) => equal((await api("/apps/tienda/collaborators/bob@example.org")).json.role, "collaborator"),
  },
  { name: "access", args: ["access", ...A], says: /bob@example\.org/, effectText: "who may touch the app" },
  {
    name: "access:remove",
    args: ["access:remove", "bob@example.org", ...A],
    effectText: "and may not any more",
    effect: async ({ api }) => equal((await api("/apps/tienda/collaborators/bob@example.org")).status, 404),
  },
  {
    name: "domains:add",
    args: ["domains:add", "tienda.example.org", ...A],
    says: /tienda\.localhost/,
    effectText: "the app answers under the name",
    effect: async (world) => equal((await visit(world, "tienda.example.org")).status, 200),
  },
  { name: "domains:info", args: ["domains:info", "tienda.example.org", ...A], says: /custom/, effectText: "one of them" },
  { name: "domains:wait", args: ["domains:wait", "tienda.example.org", ...A], effectText: "ends at once" },
  { name: "domains:remove", args: ["domains:remove", "tienda.example.org", ...A], effectText: "and not any more", effect: async (world) => equal((await visit(world, "tienda.example.org")).status, 404) },
  {
    name: "domains:clear",
    args: ["domains:clear", ...A],
    effectText: "takes all away",
    first: ({ api }) => api("/apps/tienda/domains", { method: "POST", body: { hostname: "otra.example.org" } }),
    effect: async ({ api }) => equal((await api("/apps/tienda/domains")).json.length, 1),
  },
  { name: "certs", args: ["certs", ...A], says: /no SSL certificates/i, effectText: "none of single apps" },
  {
    name: "drains:add",
    args: ["drains:add", "https://127.0.0.1:9/logs", ...A],
    effectText: "a drain",
    effect: async ({ api }) => equal((await api("/apps/tienda/log-drains")).json[0].url, "https://127.0.0.1:9/logs"),
  },
  { name: "drains:remove", args: ["drains:remove", "https://127.0.0.1:9/logs", ...A], effectText: "and none", effect: async ({ api }) => equal((await api("/apps/tienda/log-drains")).json, []) },
  {
    name: "webhooks:add",
    args: ["webhooks:add", "-i", "api:app,api:release", "-l", "notify", "-u", "https://127.0.0.1:9/hook", "-s", "un-secreto", ...A],
    says: [/Webhooks Signing Secret/, /un-secreto/],
    effectText: "who is told, and the secret that signs",
    effect: async (world) => {
      const [hook] = (await world.api("/apps/tienda/webhooks")).json;
      equal([hook.url, hook.include, hook.level], ["https://127.0.0.1:9/hook", ["api:app", "api:release"], "notify"]);
      world.hook = hook.id;
    },
  },
  { name: "webhooks", args: ["webhooks", ...A], says: /127\.0\.0\.1:9\/hook/, effectText: "lists them" },
  { name: "webhooks:info", args: (world) => ["webhooks:info", world.hook, ...A], says: /api:release/, effectText: "one of them" },
  {
    name: "webhooks:update",
    args: (world) => ["webhooks:update", world.hook, "-i", "api:app", "-l", "sync", "-u", "https://127.0.0.1:9/otro", ...A],
    effectText: "another address",
    effect: async (world) => equal((await world.api(`/apps/tienda/webhooks/${world.hook}`)).json.url, "https://127.0.0.1:9/otro"),
  },
  {
    name: "webhooks:deliveries",
    args: ["webhooks:deliveries", ...A],
    says: /api:app[\s\S]*sync/,
    effectText: "what was sent, and that it is tried again",
    first: async ({ api }) => {
      await api("/apps/tienda", { method: "PATCH", body: { maintenance: true } });
      await api("/apps/tienda", { method: "PATCH", body: { maintenance: false } });
      await eventually(async () => assert.ok((await api("/apps/tienda/webhook-deliveries")).json.some(({ status }) => status === "retrying")));
    },
  },
  { name: "webhooks:events", args: ["webhooks:events", ...A], says: /app/, effectText: "what happened" },
  { name: "webhooks:remove", args: (world) => ["webhooks:remove", world.hook, ...A], effectText: "and none", effect: async ({ api }) => equal((await api("/apps/tienda/webhooks")).json, []) },
  {
    name: "features:enable",
    args: ["features:enable", "log-runtime-metrics", ...A],
    effectText: "switches one on",
    effect: async ({ api }) => equal((await api("/apps/tienda/features/log-runtime-metrics")).json.enabled, true),
  },
  { name: "features:info", args: ["features:info", "log-runtime-metrics", ...A], says: /Enabled:\s+true/, effectText: "shows it" },
  {
    name: "features:disable",
    args: ["features:disable", "log-runtime-metrics", ...A],
    effectText: "switches it off",
    effect: async ({ api }) => equal((await api("/apps/tienda/features/log-runtime-metrics")).json.enabled, false),
  },
  {
    name: "buildpacks:set",
    args: ["buildpacks:set", "heroku/python", ...A],
    effectText: "Python's is taken",
    effect: async ({ api }) => equal((await api("/apps/tienda/buildpack-installations")).json[0].buildpack.name, "heroku/python"),
  },
  { name: "buildpacks", args: ["buildpacks", ...A], says: /python/, effectText: "shows it" },
  { name: "buildpacks:add", args: ["buildpacks:add", "heroku/nodejs", ...A], fails: true, effectText: "any other is refused" },
  { name: "buildpacks:clear", args: ["buildpacks:clear", ...A], effectText: "takes it away", effect: async ({ api }) => equal((await api("/apps/tienda/buildpack-installations")).json, []) },
  { name: "apps:stacks:set", args: ["apps:stacks:set", "heroku-24", ...A], fails: true, says: /one stack/, effectText: "another stack is refused in words" },
  { name: "keys:add", args: ({ heroku }) => ["keys:add", join(heroku.home, "key.pub")], fails: true, first: ({ heroku }) => writeFileSync(join(heroku.home, "key.pub"), "ssh-ed25519 AAAA ana\n"), says: /no SSH/, effectText: "says that git goes over https" },

  ...databases,

  // --- pipelines
  { name: "pipelines:create", args: ["pipelines:create", "tiendas", "--stage", "staging", ...A], effectText: "a pipeline with the app", effect: async ({ api }) => equal((await api("/apps/tienda/pipeline-couplings")).json.stage, "staging") },
  {
    name: "pipelines:add",
    args: ["pipelines:add", "tiendas", "--stage", "production", "--app", "tienda-prod"],
    effectText: "one more app",
    first: ({ api }) => api("/apps", { method: "POST", body: { name: "tienda-prod" } }),
    effect: async ({ api }) => equal((await api("/apps/tienda-prod/pipeline-couplings")).json.stage, "production"),
  },
  { name: "pipelines", args: ["pipelines"], says: /tiendas/, effectText: "lists it" },
  { name: "pipelines:info", args: ["pipelines:info", "tiendas"], says: [/tienda\b/, /tienda-prod/], effectText: "its apps and stages" },
  {
    name: "pipelines:promote",
    args: ["pipelines:promote", ...A],
    says: /Promotion successful/,
    effectText: "the same code runs in the next stage, with its own config",
    effect: async ({ api }) => {
      const [newest] = (await api("/apps/tienda-prod/releases", { headers: { range: "version ..; order=desc,max=1" } })).json;
      assert.match(newest.description, /^Promote tienda v\d+/);
      equal([newest.status, (await api("/apps/tienda-prod/config-vars")).json], ["succeeded", {}]);
      await api("/apps/tienda-prod/formation/web", { method: "PATCH", body: { quantity: 0 } });
    },
  },
  { name: "pipelines:update", args: ["pipelines:update", "--stage", "development", "--app", "tienda-prod"], effectText: "another stage", effect: async ({ api }) => equal((await api("/apps/tienda-prod/pipeline-couplings")).json.stage, "development") },
  { name: "pipelines:remove", args: ["pipelines:remove", "--app", "tienda-prod"], effectText: "one app less", effect: async ({ api }) => equal((await api("/apps/tienda-prod/pipeline-couplings")).status, 404) },
  { name: "pipelines:rename", args: ["pipelines:rename", "tiendas", "otras-tiendas"], effectText: "another name", effect: async ({ api }) => equal((await api("/pipelines/otras-tiendas")).status, 200) },
  { name: "pipelines:destroy", args: ["pipelines:destroy", "otras-tiendas"], effectText: "gone; its apps stay", effect: async ({ api }) => equal([(await api("/pipelines/otras-tiendas")).status, (await api("/apps/tienda")).status], [404, 200]) },
  {
    name: "apps:transfer",
    args: ["apps:transfer", "bob@example.org", "--app", "tienda-prod"],
    effectText: "an offer that the other may take",
    effect: async ({ api }) => equal((await api("/account/app-transfers")).json[0].recipient.email, "bob@example.org"),
  },

  // --- git
  {
    name: "git:clone",
    args: ({ heroku }) => ["git:clone", ...A, join(heroku.home, "clone")],
    effectText: "what `git push` brought, which was built",
    first: async (world) => {
      const folder = join(world.heroku.home, "work");
      const git = (...args) => world.heroku.start("git", ["-C", folder, ...args]);
      await git("add", "-A");
      await git("commit", "-q", "-m", "uno");
      const other = await git("push", "heroku", "main:other");
      assert.match(other.all, /remote: Pushed to non-main branch, skipping build/);
      const pushed = await git("push", "heroku", "main");
      equal(pushed.code, 0, pushed.all);
      assert.match(pushed.all, /remote: -----> /);
      const commit = (await git("rev-parse", "HEAD")).out.slice(0, 8);
      equal((await newest(world)).description, `Deploy ${commit}`);
      writeFileSync(join(folder, "requirements.txt"), "esto no es un requisito\n");
      await git("commit", "-q", "-am", "roto");
      const broken = await git("push", "heroku", "main");
      assert.notEqual(broken.code, 0, broken.all);
      assert.match(broken.all, /pre-receive hook declined/);
      equal((await newest(world)).description, `Deploy ${commit}`);
    },
    effect: ({ heroku }) => assert.match(execFileSync("git", ["-C", join(heroku.home, "clone"), "log", "--format=%s"], { encoding: "utf8", env: heroku.env }), /^uno$/m),
  },
  { name: "features", args: ["features", ...A], effectText: "the app's features" },
  { name: "labs", args: ["labs", ...A], effectText: "account and app features" },
  { name: "drains", args: ["drains", ...A], effectText: "the app's drains" },

  // --- backups and key-value stores
  {
    name: "pg:backups:capture",
    args: ["pg:backups:capture", "DATABASE_URL", ...A],
    first: async (world) => {
      const { api } = world;
      const apps = (await api("/apps/tienda/addons")).json;
      for (const plan of ["heroku-postgresql:mini", "heroku-redis:mini"]) {
        if (!apps.some((addon) => plan.startsWith(addon.addon_service.name))) equal((await api("/apps/tienda/addons", { method: "POST", body: { plan } })).status, 201);
      }
      await eventually(async () => assert.ok((await api("/apps/tienda/addons")).json.every((addon) => addon.state === "provisioned")), 120_000);
      // The shop makes its tables while it boots: a dump of before would be restored under a shop that has them.
      await onNewest(world);
    },
    says: /Backing up .* b001/,
    effectText: "a dump that was restored and counted",
    effect: async (world) => {
      const [backup] = (await world.api("/client/v11/apps/tienda/transfers")).json;
      assert.ok(backup.succeeded && backup.verified_at);
    },
  },
  { name: "pg:backups", args: ["pg:backups", ...A], says: /b001[^]*Completed/, effectText: "lists them" },
  { name: "pg:backups:info", args: ["pg:backups:info", "b001", ...A], says: [/Status:\s+Completed/, /Verified/], effectText: "one of them" },
  {
    name: "pg:backups:url",
    args: ["pg:backups:url", "b001", ...A],
    effectText: "an address that gives the dump once",
    effect: async (world, { out }) => {
      const path = new URL(out.trim()).pathname;
      const dump = await fetch(`${world.http}${path}`);
      equal(Buffer.from(await dump.arrayBuffer()).subarray(0, 5).toString(), "PGDMP");
      equal((await fetch(`${world.http}${path}`)).status, 404);
    },
  },
  {
    name: "pg:backups:restore",
    args: ["pg:backups:restore", "b001", "DATABASE_URL", "--confirm", "tienda", ...A],
    says: /Restoring/,
    effectText: "puts it in the database's place",
    effect: async (world) => {
      assert.ok((await world.api("/client/v11/apps/tienda/transfers")).json.some((one) => one.to_type === "pg_restore" && one.succeeded));
      equal((await visit(world)).status, 200);
    },
  },
  {
    name: "pg:backups:schedule",
    args: ["pg:backups:schedule", "DATABASE_URL", "--at", "04:00 Europe/Madrid", ...A],
    effectText: "a dump every day",
  },
  { name: "pg:backups:schedules", args: ["pg:backups:schedules", ...A], says: /DATABASE_URL: daily at 4:00 Europe\/Madrid/, effectText: "when" },
  {
    name: "pg:backups:unschedule",
    args: ["pg:backups:unschedule", "DATABASE_URL", ...A],
    effectText: "and not any more",
    effect: async (world) => {
      const addon = (await world.api("/apps/tienda/addons")).json.find((one) => one.addon_service.name === "heroku-postgresql");
      equal((await world.api(`/client/v11/databases/${addon.id}/transfer-schedules`)).json, []);
    },
  },
  {
    name: "pg:backups:delete",
    args: ["pg:backups:delete", "b001", "--confirm", "tienda", ...A],
    effectText: "deletes one",
    effect: async (world) => assert.ok(!(await world.api("/client/v11/apps/tienda/transfers")).json.some((one) => one.num === 1)),
  },
  { name: "redis:info", args: ["redis:info", ...A], says: [/Maxmemory:\s+25 MB/, /allkeys-lru/], effectText: "plan, memory, eviction policy" },

  // --- lists of what there is
  { name: "keys", args: ["keys"], says: /no SSH keys/i, effectText: "none: git goes over https" },
  { name: "regions", args: ["regions"], says: /us/, effectText: "this server" },
  { name: "teams", args: ["teams"], effectText: "none" },
  { name: "spaces", args: ["spaces"], fails: true, says: /do not have access to any spaces/, effectText: "none" },
  { name: "clients", args: ["clients"], says: /No OAuth clients/i, effectText: "none" },
  { name: "usage:addons", args: ["usage:addons", ...A], effectText: "none" },
  {
    name: "local",
    args: ["local", "--procfile", "Procfile.local", "uno"],
    effectText: "runs the Procfile on this machine",
    first: ({ heroku }) => writeFileSync(join(heroku.home, "Procfile.local"), "uno: echo desde-local\n"),
    says: /desde-local/,
    options: () => ({ until: /desde-local/ }),
  },
  { name: "local:run", args: ["local:run", "echo", "aqui"], says: /aqui/, effectText: "one command with the local environment" },

  // --- the end
  {
    name: "apps:rename",
    args: ["apps:rename", "tienda-dos", ...A],
    effectText: "answers under its new name",
    effect: async (world) => {
      equal((await world.api("/apps/tienda-dos")).status, 200);
      equal((await world.api("/apps/tienda")).status, 404);
      await eventually(async () => equal((await visit(world, "tienda-dos.localhost")).status, 200));
    },
  },
  {
    name: "apps:destroy",
    args: ["apps:destroy", "--app", "tienda-dos", "--confirm", "tienda-dos"],
    effectText: "no container of it is left",
    first: async (world) => {
      world.ending = (await world.api("/apps/tienda-dos")).json.id;
    },
    effect: async (world) => {
      equal((await world.api("/apps/tienda-dos")).status, 404);
      equal(execFileSync("docker", ["ps", "-aq", "--filter", `label=siesta.app=${world.ending}`], { encoding: "utf8" }), "");
    },
  },
];
