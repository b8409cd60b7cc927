// Every page there is, from the routes themselves: in both languages and both themes, wide and on a
// telephone. No console error, no policy report, no horizontal overflow, nothing axe-core objects to, and
// not too heavy. With $SIESTA_SCREENSHOTS each is also a picture.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { browse, inspect, serve, weigh } from "./served.mjs";

const ADMIN = "ana@example.org";
const PASSWORD = "correct horse battery";
const EXAMPLE = new URL("../../examples/tienda-videojuegos", import.meta.url).pathname;

const page = (path, also = {}) => ({ path, ...also });
const front = (path) => page(path, { nobody: true });
const no = (why) => ({ why });
const stream = no("a stream, a fragment or a file, no page");
const away = no("leads elsewhere");

/** Every address that answers to GET, and what is looked at there. A page without a line fails. */
const PAGES = {
  "/assets/{*path}": stream,
  "/": away,
  "/claim": no("answers before the claim alone: dashboard.test.mjs looks at it"),
  "/login": front("/login"),
  "/login/code": away,
  "/login/github": away,
  "/login/terminal/{token}": page(() => terminal),
  "/github/callback": away,
  "/github/connect": away,
  "/signup": front("/signup"),
  "/invite/{token}": front("/invite/a-token"),
  "/reset/{token}": front("/reset/a-token"),
  // Its sections are all of one kind.
  "/docs/api": page("/docs/api", { skip: "section.card:nth-of-type(n+3)" }),
  "/apps": page("/apps", { also: ["/apps?q=niente&sort=deploy"] }),
  "/bin": page("/bin"),
  "/new": page("/new"),
  "/new/check": stream,
  "/quota": page("/quota"),
  "/account": page("/account"),
  "/account/password": page("/account/password"),
  "/account/second-factor": page("/account/second-factor"),
  "/admin/github": page("/admin/github"),
  "/host": page("/host"),
  "/host/accounts": page("/host/accounts"),
  "/host/plans": page("/host/plans"),
  "/host/plans/assign": away,
  "/host/plans/{plan}": page("/host/plans/free"),
  "/host/audit": page("/host/audit"),
  "/apps/{app}": page("/apps/shop", { also: ["/apps/blank"] }),
  "/apps/{app}/events": stream,
  "/apps/{app}/checklist": stream,
  "/apps/{app}/resources": page("/apps/shop/resources"),
  "/apps/{app}/addons/{addon}": page(() => addon && `/apps/shop/addons/${addon}`),
  "/apps/{app}/addons/{addon}/data": page(() => addon && `/apps/shop/addons/${addon}/data`),
  "/apps/{app}/addons/{addon}/backups/{backup}/download": stream,
  "/apps/{app}/deploy": page("/apps/shop/deploy"),
  "/apps/{app}/builds/{build}": page(() => build && `/apps/shop/builds/${build}`),
  "/apps/{app}/builds/{build}/output": stream,
  "/apps/{app}/github/head": stream,
  "/apps/{app}/github/deliveries": page("/apps/shop/github/deliveries"),
  "/apps/{app}/metrics": page("/apps/shop/metrics"),
  "/apps/{app}/activity": page("/apps/shop/activity", { also: ["/apps/shop/activity?kind=config"] }),
  "/apps/{app}/releases/{version}": page("/apps/shop/releases/v3"),
  "/apps/{app}/logs": page("/apps/shop/logs"),
  "/apps/{app}/logs/tail": stream,
  "/apps/{app}/logs/download": stream,
  "/apps/{app}/access": page("/apps/shop/access"),
  "/apps/{app}/console": page("/apps/shop/console"),
  "/apps/{app}/console/socket": stream,
  "/apps/{app}/settings": page("/apps/shop/settings", { also: ["/apps/shop/settings?reveal=1"] }),
};

/** What visitors see when no app answers, with its status. */
const VISITORS = [
  ["no-such-app", "niente", 404],
  ["no-code", "blank", 503],
  ["maintenance", "closed", 503],
  ["crashed", "broken", 503],
  ["resting", "tired", 503],
  ["waking", "slow", 503],
];

/** An app that serves, and with MOOD set crashes at once or never comes up. */
const MOODY = `import http.server, os, sys, time
mood = os.environ.get("MOOD")
if mood == "slow":
    time.sleep(3600)
if mood == "broken":
    sys.exit(3)
http.server.HTTPServer(("", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
`;

let server, addon, build, terminal;

/** The routes of the dashboard that answer to GET, read from where they are made. */
function routes() {
  const source = (name) => readFileSync(new URL(`../../src/web/${name}.rs`, import.meta.url), "utf8");
  const [main, app] = source("mod").split("fn app_pages()");
  const parts = [["", main], ["/apps/{app}", app], ["/host", source("host")]];
  const found = parts.flatMap(([prefix, text]) =>
    [...text.matchAll(/\.route\(\s*"([^"]+)",\s*get\(/g)].map(([, path]) => (prefix && path === "/" ? prefix : prefix + path)),
  );
  return [...new Set(found)].sort();
}

/** A call of the Platform API. */
async function api(method, path, body) {
  const headers = { authorization: `Bearer ${server.api}`, "content-type": "application/json", accept: "application/vnd.heroku+json; version=3" };
  const answer = await fetch(server.url + path, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.json();
}

/** Apps that are crashed, resting, and never up. */
async function moods() {
  server.siesta(["plan", "set", "free", "--apps", "10"]);
  const folder = mkdtempSync(join(tmpdir(), "siesta-moody-"));
  for (const [name, text] of [["Procfile", "web: python web.py\n"], ["requirements.txt", ""], ["web.py", MOODY]]) writeFileSync(join(folder, name), text);
  for (const name of ["tired", "broken", "slow"]) await server.slowly(["deploy", "--app", name, folder]);
  rmSync(folder, { recursive: true });
  server.siesta(["plan", "set", "tiny", "--awake-hours", "0.0006", "--window-hours", "1", "--rest-hours", "6"]);
  server.siesta(["plan", "assign", "tiny", "--app", "tired"]);
  for (const name of ["broken", "slow"]) {
    await api("PATCH", `/apps/${name}/formation/web`, { quantity: 0 });
    await api("PATCH", `/apps/${name}/config-vars`, { MOOD: name });
    await api("PATCH", `/apps/${name}/formation/web`, { quantity: 1 });
  }
  await until(() => visit("broken"), ({ body }) => body.includes("Application error"));
  await until(() => visit("tired"), ({ body }) => body.includes("resting"));
}

/** What a browser is answered that opens an app. */
function visit(app, language = "en") {
  const { port } = new URL(server.url);
  const headers = { host: `${app}.localhost:${port}`, accept: "text/html", "accept-language": language, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
  return new Promise((resolve, reject) => {
    const ask = get({ host: "127.0.0.1", port, headers }, async (answer) => {
      resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(await answer.toArray()).toString() });
    });
    ask.on("error", reject);
  });
}

/** Asks again until the answer is what is awaited. */
async function until(ask, is) {
  for (let tries = 0; tries < 240; tries++) {
    const answer = await ask();
    if (is(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assert.fail("never came");
}

before(async () => {
  server = await serve();
  server.siesta(["user", "create", ADMIN, "--admin"], PASSWORD);
  server.siesta(["user", "create", "vera@example.org"], PASSWORD);
  server.api = server.siesta(["token", "create", ADMIN]);
  server.siesta(["deploy", "--app", "shop", EXAMPLE]);
  await api("PATCH", "/apps/shop/config-vars", { SHOP_NAME: "Pixel & Co", SECRET_KEY: "a-long-value-of-many-letters-and-digits-0123456789" });
  await api("POST", "/apps/shop/collaborators", { user: "vera@example.org", silent: true });
  for (const name of ["blank", "closed", "thrown-away"]) await api("POST", "/apps", { name });
  await api("PATCH", "/apps/closed", { maintenance: true });
  await api("DELETE", "/apps/thrown-away");
  [{ id: build }] = await api("GET", "/apps/shop/builds");
  await moods();
  ({ browser_url: terminal } = await api("POST", "/auth", { description: "Heroku CLI login from a-machine" }));
  if (process.env.SIESTA_STACK_POSTGRES) {
    ({ name: addon } = await api("POST", "/apps/shop/addons", { plan: "heroku-postgresql:mini" }));
    await until(() => api("GET", `/apps/shop/addons/${addon}`), ({ state }) => state === "provisioned");
  }
});
after(() => server?.stop());

test("every page has a line here", () => {
  const found = routes();
  assert.ok(found.length > 30, "the routes are read");
  assert.deepEqual(found.filter((path) => !(path in PAGES)), [], "pages without a line");
  assert.deepEqual(Object.keys(PAGES).filter((path) => !found.includes(path)), [], "lines without a page");
});

describe("in both languages at once", { concurrency: 2 }, () => {
  for (const [language, locale] of [["en", "en-US"], ["es", "es-ES"]]) {
    describe(`every page in ${language}`, { concurrency: false }, () => {
      let browser, view, faults;
      before(async () => {
        ({ browser, page: view, faults } = await browse(locale));
      });
      after(() => browser?.close());

      /** Looks at the page that is open. */
      const look = async (name, skip) => {
        const folder = process.env.SIESTA_SCREENSHOTS;
        const picture = async (kind) => folder && view.screenshot({ path: join(folder, `page-${name}-${language}-${kind}.png`), animations: "disabled" });
        faults.push(...(await inspect(view, picture, { thorough: true, skip })).map((text) => `${name}: ${text}`));
        assert.equal(await view.getAttribute("html", "lang"), language, name);
      };
      const open = async (route, path, number = 0) => {
        const answer = await view.goto(server.url + path);
        assert.equal(answer.status(), 200, path);
        const name = route.replace("/apps/{app}", "/app").replaceAll(/[^a-z0-9]+/gi, "-").replaceAll(/^-|-$/g, "");
        await look(name + (number ? `-${number}` : ""), PAGES[route].skip);
      };

      test("before the login", async () => {
        for (const [route, { path, nobody }] of Object.entries(PAGES)) if (nobody) await open(route, path);
        await view.goto(`${server.url}/login`);
        await view.locator("#f-email").fill(ADMIN);
        await view.locator("#f-password").fill(PASSWORD);
        await view.locator("form[action='/login'] button.primary").click();
        await view.waitForURL("**/apps");
      });

      test("behind the login", async () => {
        const shop = await view.context().newPage();
        await shop.goto(server.url.replace("//", "//shop."));
        await shop.close();
        for (const [route, { path, nobody, also = [] }] of Object.entries(PAGES)) {
          const address = typeof path === "function" ? path() : path;
          if (address && !nobody) for (const [number, each] of [address, ...also].entries()) await open(route, each, number);
        }
      });

      if (language === "en" && process.env.SIESTA_STACK_POSTGRES) {
        test("psql in a console asks the app's own database", async () => {
          const form = { command: "psql $DATABASE_URL -tAc 'select 6 * 7 * 1000'" };
          const answer = await view.context().request.post(`${server.url}/apps/shop/console`, { form, headers: { "sec-fetch-site": "same-origin" } });
          assert.match(await answer.text(), /<pre>\s*42000\s*<\/pre>/);
        });
      }

      test("a first view weighs less than 60 kB without fonts", async () => {
        const { name, value } = (await view.context().cookies(server.url)).find((cookie) => cookie.name.endsWith("siesta"));
        const [known, heavy] = [new Map(), []];
        for (const [route, { path, nobody }] of Object.entries(PAGES)) {
          const address = typeof path === "function" ? path() : path;
          const bytes = address && (await weigh(server.url + address, nobody ? "" : `${name}=${value}`, known));
          if (bytes > 60_000) heavy.push(`${route}: ${bytes}`);
        }
        assert.ok(known.size > 4, "style, script and the mark are counted");
        assert.deepEqual(heavy, []);
      });

      test("lets a terminal in that waits in heroku login", async () => {
        const begun = await api("POST", "/auth", { description: "Heroku CLI login from another-machine" });
        await view.goto(server.url + begun.browser_url);
        const told = fetch(server.url + begun.cli_url, { headers: { authorization: `Bearer ${begun.token}` } });
        await view.locator("button[value=true]").click();
        assert.match((await (await told).json()).access_token, /^HRKU-/);
        await look("terminal-let-in");
      });

      test("an account that begins with its second factor", async () => {
        await view.goto(`${server.url}/account`);
        await view.locator("form[action='/account/second-factor'] button").click();
        await view.locator(".qr").waitFor();
        await look("second-factor-begun");
      });

      test("nothing was wrong", () => assert.deepEqual(faults, []));

      test("what visitors see when no app answers, and who gets lost", async () => {
        faults.length = 0;
        await api("DELETE", "/apps/slow/dynos");
        for (const [name, app, status] of VISITORS) {
          // A waking page asks again every two seconds; the one that is looked at stands still.
          const { headers: { refresh, ...headers }, body, ...answer } = await visit(app, locale);
          assert.equal(answer.status, status, `${name}: ${body}`);
          assert.equal(refresh, name === "waking" ? "2" : undefined, name);
          assert.equal("retry-after" in headers, ["maintenance", "resting", "waking"].includes(name), name);
          const address = server.url.replace("//", `//${app}.`);
          await view.route(`${address}/`, (route) => route.fulfill({ ...answer, headers, body }));
          await view.goto(address);
          await look(`visitor-${name}`);
        }
        for (const path of ["/apps/niente", "/nothing"]) {
          assert.equal((await view.goto(server.url + path)).status(), 404);
          await look(`lost${path.replaceAll("/", "-")}`);
        }
        // Chromium logs the status of the page itself.
        assert.deepEqual(faults.filter((text) => !/status of (404|503)/.test(text)), []);
      });
    });
  }
});
