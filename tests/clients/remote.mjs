// Rows of the table about one-off dynos, databases and logging in: what goes beyond single calls of the API.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { eventually } from "./driver.mjs";

const A = ["--app", "tienda"];
const equal = assert.deepEqual;
const SOAK = Boolean(process.env.SIESTA_TEST_SOAK);
const MIB = 1024 * 1024;
/** What the server may grow by while bytes stream through it. */
const GROWTH = 32 * MIB;

const oneOffs = async ({ api }) => (await api("/apps/tienda/dynos")).json.filter(({ type }) => type === "run");
const gone = (world) =>
  eventually(async () => {
    equal(await oneOffs(world), []);
    const instance = JSON.parse(world.server.siesta(["status"])).instance;
    const filters = ["--filter", `label=siesta.instance=${instance}`, "--filter", "label=siesta.kind=one-off"];
    equal(execFileSync("docker", ["ps", "-aq", ...filters], { encoding: "utf8" }), "");
  }, 120_000);

/** Bytes of the server's memory: now, or at most since `forget`. */
const memory = ({ server }, field) => 1024 * Number(readFileSync(`/proc/${server.pid}/status`, "utf8").match(new RegExp(`${field}:\\s+(\\d+)`))[1]);
const forget = ({ server }) => writeFileSync(`/proc/${server.pid}/clear_refs`, "5");

/** Sends so many MiB through a command's standard input and output; whether they came back as they were. */
function stream(heroku, args, mebibytes) {
  const line = "the quick brown fox jumps over the lazy dog, again and again and again, till it is tired\n";
  const chunk = Buffer.from(line.repeat(Math.ceil(MIB / line.length)));
  const child = spawn(process.execPath, [heroku.program, ...args], { cwd: heroku.home, env: heroku.env, stdio: ["pipe", "pipe", "pipe"] });
  const [sent, heard] = [createHash("sha256"), createHash("sha256")];
  let [bytes, words] = [0, ""];
  child.stdout.on("data", (data) => {
    heard.update(data);
    bytes += data.length;
  });
  child.stderr.on("data", (data) => (words += data));
  const feed = async () => {
    for (let count = 0; count < mebibytes; count++) {
      sent.update(chunk);
      if (!child.stdin.write(chunk)) await new Promise((resolve) => child.stdin.once("drain", resolve));
    }
    child.stdin.end();
  };
  child.stdin.on("error", () => {});
  void feed();
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, bytes, wanted: mebibytes * chunk.length, same: sent.digest("hex") === heard.digest("hex"), words })));
}

export const runs = [
  {
    name: "run",
    args: ["run", "--exit-code", ...A, "--", "sh -c 'cat; exit 4'"],
    fails: true,
    first: door,
    options: (world) => ({ ...throughTheDoor(world), input: "por la puerta\n" }),
    says: /por la puerta/,
    effectText: "through `siesta proxy`: input, output and exit code",
    effect: async (world, { code, all }) => {
      equal(code, 4, all);
      const tip = await world.heroku.start("git", ["ls-remote", `https://${world.door.HEROKU_GIT_HOST}/tienda.git`], throughTheDoor(world));
      equal(tip.code, 0, tip.all);
      await gone(world);
    },
  },
  {
    name: "run",
    args: ["run", "--exit-code", ...A, "--", "sh -c 'echo $((6*7)) $SALUDO; exit 3'"],
    fails: true,
    says: /42 hola mundo/,
    effectText: "output, config vars and with `--exit-code` the exit code",
    effect: async (world, { code, all }) => {
      equal(code, 3, all);
      await gone(world);
    },
  },
  { name: "run", args: ["run", ...A, "cat"], options: () => ({ input: "desde la entrada\n" }), says: /desde la entrada/, effectText: "its input" },
  {
    name: "run",
    args: ["run", "--no-tty", ...A, "wc -c"],
    options: () => ({ input: "12345" }),
    says: /^5$/m,
    first: gone,
    effectText: "without a terminal exact bytes",
  },
  {
    name: "run",
    args: ["run", "--env", "UNO=1;DOS=2", "--no-tty", ...A, "sh -c 'echo $UNO$DOS'"],
    says: /^12$/m,
    first: gone,
    effectText: "variables of its own",
  },
  {
    name: "run",
    args: ["run", ...A, "sh -c 'trap exit HUP; echo ya empieza; sleep 1000 & wait'"],
    first: gone,
    options: () => ({ until: /ya empieza/ }),
    effectText: "no process is left of a client that was killed",
    effect: async (world, done) => {
      assert.ok(done.stopped, done.all);
      await gone(world);
    },
  },
  {
    name: "run",
    args: ["run", ...A, "true"],
    first: gone,
    effectText: `${SOAK ? 1024 : 50} MB both ways while the server's memory stays as it is`,
    effect: async (world) => {
      await gone(world);
      forget(world);
      const before = memory(world, "VmRSS");
      const { words, ...done } = await stream(world.heroku, ["run", "--no-tty", "--exit-code", ...A, "cat"], SOAK ? 1024 : 50);
      equal({ ...done, bytes: done.wanted }, { code: 0, bytes: done.wanted, wanted: done.wanted, same: true }, words);
      const grown = memory(world, "VmHWM") - before;
      console.log(`# ${done.bytes} bytes both ways; the server grew by ${(grown / MIB).toFixed(1)} MiB`);
      assert.ok(grown < GROWTH, `the server grew by ${grown} bytes`);
    },
  },
  {
    name: "run:detached",
    args: ["run:detached", ...A, "echo", "desatado"],
    first: gone,
    says: /run\.\d+/,
    effectText: "its output is in the log",
    effect: async (world, { all }) => {
      const name = all.match(/run\.\d+/)[0];
      await eventually(async () => assert.match((await world.heroku.run(["logs", ...A])).all, new RegExp(`app\\[${name}\\]: desatado`)));
    },
  },
  { name: "run:inside", args: ["run:inside", "web.1", "ls", ...A], fails: true, says: /heroku run/, effectText: "says that nothing runs inside a dyno that serves, and to use `heroku run`" },
];

/** Opens the doors of `siesta proxy` once; the variables that a shell has once it has read what is printed. */
export async function door(world) {
  if (world.door) return world.door;
  const env = { ...world.heroku.env, SIESTA_LOGIN: join(world.heroku.home, "siesta/login.json") };
  const siesta = process.env.SIESTA_BINARY;
  execFileSync(siesta, ["login", `https://localhost:${world.tls}`, "--ca", world.ca], { env, input: world.key });
  const child = spawn(siesta, ["proxy", "--port", "0"], { env, stdio: ["ignore", "pipe", "inherit"] });
  world.closing.push(() => child.kill());
  const lines = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (/^export PGSSLMODE=|cannot be used/.test(line)) break;
  }
  const shell = execFileSync("sh", ["-c", `${lines.join("\n")}\nenv -0`], { env: { PATH: process.env.PATH }, encoding: "utf8" });
  const set = Object.fromEntries(shell.split("\0").filter(Boolean).map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
  for (const name of ["PATH", "PWD", "OLDPWD", "SHLVL", "_"]) delete set[name];
  assert.ok(set.PGHOSTADDR, "one of eight addresses of loopback has port 5432 free");
  return (world.door = set);
}
const throughTheDoor = ({ door }) => ({ env: { GIT_SSL_CAINFO: undefined, ...door } });
const psql = async (world, sql) => (await world.heroku.run(["pg:psql", "-c", sql, ...A], throughTheDoor({ door: await door(world) }))).all;
const addon = async ({ api }) => (await api("/apps/tienda/addons")).json[0];

export const databases = [
  { name: "addons:services", args: ["addons:services"], says: /heroku-postgresql/, effectText: "what is offered" },
  { name: "addons:plans", args: ["addons:plans", "heroku-postgresql"], says: /heroku-postgresql:\S+/, effectText: "its plans" },
  { name: "addons:docs", args: ["addons:docs", "heroku-postgresql", "--show-url"], says: /heroku-postgresql/, effectText: "the address of Heroku's page on it" },
  {
    name: "addons:create",
    args: ["addons:create", "heroku-postgresql:mini", ...A],
    says: /is being created in the background/,
    effectText: "a database, its address in the config",
    effect: (world) =>
      eventually(async () => {
        equal((await addon(world)).state, "provisioned");
        assert.match((await world.api("/apps/tienda/config-vars")).json.DATABASE_URL, /^postgres:\/\//);
      }, 120_000),
  },
  { name: "addons:wait", args: ["addons:wait", ...A], effectText: "ends when it is there" },
  { name: "addons", args: ["addons", ...A], says: [/heroku-postgresql/, /as DATABASE/], effectText: "lists it" },
  { name: "addons:info", args: ["addons:info", "DATABASE", ...A], says: [/Plan:\s+\S+/, /Owning app:\s+tienda/], effectText: "plan, app, price" },
  { name: "addons:upgrade", args: ["addons:upgrade", "DATABASE", "heroku-postgresql:mini", ...A], effectText: "its one plan is fine" },
  {
    name: "addons:attach",
    args: (world) => ["addons:attach", world.addon, "--as", "OTRA", ...A],
    first: async (world) => (world.addon = (await addon(world)).name),
    effectText: "a second name for it",
    effect: (world) => eventually(async () => assert.ok((await world.api("/apps/tienda/config-vars")).json.OTRA_URL)),
  },
  {
    name: "addons:detach",
    args: ["addons:detach", "OTRA", ...A],
    effectText: "and not any more",
    effect: (world) => eventually(async () => equal((await world.api("/apps/tienda/config-vars")).json.OTRA_URL, undefined)),
  },
  { name: "pg:wait", args: ["pg:wait", ...A], effectText: "ends at once" },
  { name: "pg:info", args: ["pg:info", ...A], says: [/Status:\s+Available/, /Rows:\s+\d+\/10000/, /Add-on:\s+\S+/], effectText: "rows, size, connections, version" },
  { name: "pg:credentials:url", args: ["pg:credentials:url", ...A], says: /postgres:\/\/\S+@postgres\.siesta/, effectText: "the address with its password" },
  {
    name: "pg:psql",
    args: ["pg:psql", "-c", "create table de_prueba (id int); insert into de_prueba values (41); select id + 1 as mas from de_prueba", ...A],
    first: door,
    options: throughTheDoor,
    says: /^\s+42$/m,
    effectText: "through `siesta proxy`: a session on one's own database",
    effect: async (world) => assert.match((await world.heroku.run(["auth:whoami"], { env: world.door })).all, /^ana@example\.org$/m),
  },
  { name: "pg:ps", args: ["pg:ps", ...A], options: throughTheDoor, says: /pid/, effectText: "through `siesta proxy`: what runs in it" },
  {
    name: "pg:reset",
    args: ["pg:reset", "--confirm", "tienda", ...A],
    says: /Resetting/,
    effectText: "an empty database",
    effect: async (world) => assert.match(await psql(world, "select count(*) as tablas from pg_tables where tablename = 'de_prueba'"), /^\s+0$/m),
  },
  {
    name: "addons:destroy",
    args: (world) => ["addons:destroy", world.addon, "--confirm", "tienda", ...A],
    effectText: "and none",
    effect: async (world) => {
      equal((await world.api("/apps/tienda/addons")).json, []);
      equal((await world.api("/apps/tienda/config-vars")).json.DATABASE_URL, undefined);
    },
  },
];

/** Without the key in the environment: the CLI keeps its own. */
const loggedIn = { HEROKU_API_KEY: undefined };
const token = async ({ heroku }) => (await heroku.run(["auth:token"], { env: loggedIn })).out.match(/HRKU-\S+/)?.[0];
const status = async ({ http }, key) => (await fetch(`${http}/account`, { headers: { authorization: `Bearer ${key}` } })).status;

/** Says yes in the dashboard, as the person at the terminal would in a browser: where the terminal says, logged in first. */
async function sayYes({ far, http, tls, heroku, email, password }, address) {
  const { pathname } = new URL(address);
  if (far) {
    // The door is no place for a session: it sends browsers to the server itself.
    const sent = await fetch(`${heroku.env.HEROKU_HOST}${pathname}`, { redirect: "manual", headers: { accept: "text/html" } });
    equal(sent.headers.get("location"), `https://localhost:${tls}${pathname}`);
  }
  const post = (path, fields, cookie = "") =>
    fetch(http + path, { method: "POST", redirect: "manual", headers: { origin: http, cookie }, body: new URLSearchParams(fields) });
  const session = (await post("/login", { email, password })).headers.getSetCookie().map((cookie) => cookie.split(";")[0]).join("; ");
  const page = await (await fetch(http + pathname, { headers: { cookie: session } })).text();
  assert.match(page, /Heroku CLI login from[^]*127\.0\.0\.1/);
  equal((await post(pathname, { yes: "true" }, session)).status, 200);
}

export const logins = [
  {
    name: "auth:login",
    args: ["auth:login"],
    options: (world) => ({
      env: { ...loggedIn, BROWSER: "true" },
      answers: [
        [/any key/, "b"],
        [/https?:\/\/localhost:\d+\/login\/terminal\/[\w-]{43}/, ([address]) => sayYes(world, address)],
      ],
    }),
    says: /Logged in as ana@example\.org/,
    effectText: "a key of its own, once its user has said yes in the browser",
    effect: async (world) => {
      const key = await token(world);
      assert.notEqual(key, world.key);
      equal(await status(world, key), 200);
    },
  },
  {
    name: "auth:login",
    args: ["auth:login", "--interactive"],
    options: ({ email, password }) => ({ env: loggedIn, answers: [[/Email/, `${email}\r`], [/Password/, `${password}\r`]] }),
    says: /Logged in as ana@example\.org/,
    effectText: "`--interactive`: a key of its own that works",
    effect: async (world) => {
      world.ownKey = await token(world);
      assert.notEqual(world.ownKey, world.key);
      equal(await status(world, world.ownKey), 200);
    },
  },
  {
    name: "auth:logout",
    args: ["auth:logout"],
    options: () => ({ env: loggedIn }),
    effectText: "the key opens nothing any more",
    effect: async (world) => equal([await status(world, world.ownKey), await status(world, world.key)], [401, 200]),
  },
];
