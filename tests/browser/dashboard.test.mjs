// The newcomer's path in a real browser, in both languages: in, create, deploy, open, asleep, awake,
// a config var, delete. Every page on the way is looked at in both themes, wide and on a telephone: no
// horizontal overflow, nothing axe-core objects to, no console error, no policy report. Screenshots go to $SIESTA_SCREENSHOTS when it is set.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { archiveOf, browse, inspect, serve } from "./served.mjs";

const PASSWORD = "correct horse battery";
let server;

before(async () => {
  server = await serve({ SIESTA_IDLE_AFTER: "10" });
});
after(() => server?.stop());

/** The texts of a locale by key; only plain ones. */
function texts(language) {
  const found = {};
  for (const file of ["main", "app", "dashboard"]) {
    const lines = readFileSync(new URL(`../../locales/${language}/${file}.ftl`, import.meta.url), "utf8").split("\n");
    for (const line of lines) {
      const [key, ...rest] = line.split(" = ");
      if (rest.length && !line.startsWith(" ")) found[key] = rest.join(" = ");
    }
  }
  return found;
}

/** Where screenshots of a page go, if they are wanted. */
const shots = (page, name) => async (kind) => {
  const folder = process.env.SIESTA_SCREENSHOTS;
  if (folder) await page.screenshot({ path: join(folder, `${name}-${kind}.png`), fullPage: kind.startsWith("phone"), animations: "disabled" });
};

for (const [language, locale, app, email] of [
  ["en", "en-US", "bookshop", "ana@example.org"],
  ["es", "es-ES", "libreria", "luis@example.org"],
]) {
  describe(`the newcomer's path in ${language}`, { concurrency: false }, () => {
    const t = texts(language);
    let browser, page, faults;

    const look = async (name) => {
      faults.push(...(await inspect(page, shots(page, `${name}-${language}`))).map((text) => `${name}: ${text}`));
      assert.equal(await page.getAttribute("html", "lang"), language);
    };
    const go = (path) => page.goto(server.url + path);
    const pill = (word) => page.locator(".title .pill", { hasText: word }).waitFor({ timeout: 90_000 });

    before(async () => {
      ({ browser, page, faults } = await browse(locale));
    });
    after(() => browser?.close());

    test("gets in", async () => {
      await go("/");
      if (language === "en") {
        assert.equal(new URL(page.url()).pathname, "/claim");
        await look("claim");
        await page.getByLabel(t["claim-token"]).fill(server.token);
      } else {
        await page.getByRole("link", { name: t["sign-up"] }).click();
        await look("signup");
      }
      await page.getByLabel(t.email).fill(email);
      await page.getByLabel(t.password, { exact: true }).fill(PASSWORD);
      await page.getByRole("button", { name: language === "en" ? t["claim-do"] : t["sign-up"], exact: true }).click();
      await page.getByRole("heading", { name: t.apps, exact: true }).waitFor();
      await look("apps-empty");
    });

    test("logs out and in again, after one mistake", async () => {
      await page.locator("summary.avatar").click();
      await page.getByRole("button", { name: t["log-out"] }).click();
      await look("login");
      for (const password of ["a wrong password", PASSWORD]) {
        await page.getByLabel(t.email).fill(email);
        await page.getByLabel(t.password, { exact: true }).fill(password);
        await page.getByRole("button", { name: t["log-in"], exact: true }).click();
        if (password !== PASSWORD) await page.getByText(t["login-wrong"]).waitFor();
      }
      await page.getByRole("heading", { name: t.apps, exact: true }).waitFor();
    });

    test("creates an app under a name that is checked while typed", async () => {
      await page.getByRole("link", { name: t["new-app"] }).click();
      const name = page.getByLabel(t["app-name"]);
      await name.pressSequentially("www");
      await page.getByText(t["name-reserved"]).waitFor();
      await name.fill(app);
      await page.getByText(t["name-free"]).waitFor();
      await look("new");
      await page.getByRole("button", { name: t["create-app"] }).click();
      await page.getByRole("heading", { name: t["upload-title"] }).waitFor();
      await look("deploy");
      await go(`/apps/${app}`);
      await page.getByText(t["start-title"]).waitFor();
      await look("blank");
    });

    test("deploys the example and watches it being built, over a reload", async () => {
      await go(`/apps/${app}/deploy`);
      await page.getByLabel(t["version-label"]).fill("v1");
      await page.locator("#f-archive").setInputFiles({ name: "shop.tar.gz", mimeType: "application/gzip", buffer: archiveOf("tienda-videojuegos") });
      await page.getByRole("button", { name: t["deploy-now"], exact: true }).click();
      await page.getByText("-----> ").first().waitFor({ timeout: 60_000 });
      await look("building");
      await page.reload();
      await page.getByText("-----> ").first().waitFor({ timeout: 60_000 });
      await page.locator("#live-build .pill.ok", { hasText: t["build-done"] }).waitFor({ timeout: 300_000 });
      await look("built");
    });

    test("opens the app, sees it fall asleep and wake", async () => {
      const address = `http://${app}.localhost:${new URL(server.url).port}/`;
      const visitor = await page.context().newPage();
      assert.equal((await visitor.goto(address)).status(), 200);
      await go(`/apps/${app}`);
      await pill(t["state-asleep"]);
      await page.locator("#live-main").getByRole("button", { name: t["wake-now"] }).waitFor();
      await look("asleep");
      assert.equal((await visitor.reload({ timeout: 60_000 })).status(), 200);
      await visitor.close();
      await pill(t["state-asleep"]);
      await page.getByRole("button", { name: t["wake-now"] }).click();
      await pill(t["state-awake"]);
      await look("awake");
    });

    test("reads its log, its activity and its resources", async () => {
      await go(`/apps/${app}/logs`);
      await page.locator(".term li", { hasText: "router" }).first().waitFor();
      await look("logs");
      await go(`/apps/${app}/logs?ps=router`);
      assert.equal(await page.locator(".term li", { hasText: "heroku[web.1]" }).count(), 0);
      await go(`/apps/${app}/activity`);
      await look("activity");
      await go(`/apps/${app}/resources`);
      await look("resources");
      await go(`/apps/${app}/metrics?range=24h`);
      await page.getByText(t["metrics-table"]).click();
      await page.locator(".charts").focus();
      await page.keyboard.press("End");
      await page.locator("[data-cursor-note]", { hasText: "200" }).or(page.locator("[data-cursor-note]:not(:empty)")).first().waitFor();
      await look("metrics");
    });

    test("runs a console: commands, paste, a lost connection, an exit code", async () => {
      await page.addInitScript(() => {
        window.sockets = [];
        window.WebSocket = class extends WebSocket {
          constructor(...given) {
            super(...given);
            window.sockets.push(this);
          }
        };
      });
      await go(`/apps/${app}`);
      await page.locator("summary", { hasText: t.more }).click();
      await page.getByRole("link", { name: t["run-console"] }).click();
      await page.locator("#f-command").fill("bash");
      await page.getByRole("button", { name: t.run, exact: true }).click();
      const state = page.locator("[data-console-state]");
      const rows = page.locator(".xterm-rows");
      await state.filter({ hasText: t["console-connected"] }).waitFor({ timeout: 60_000 });
      await page.keyboard.type("ls\n");
      await rows.filter({ hasText: "Procfile" }).waitFor({ timeout: 30_000 });
      await page.keyboard.type("python -c 'print(6*7*1000)'\n");
      await rows.filter({ hasText: "42000" }).waitFor({ timeout: 30_000 });
      await page.setViewportSize({ width: 900, height: 800 });
      await page.keyboard.type("stty size\n");
      await page.waitForFunction(() => /stty size\s*\d+\s+\d+/.test(document.querySelector(".xterm-rows").textContent), undefined, { timeout: 30_000 });
      await page.setViewportSize({ width: 1440, height: 900 });
      await page.evaluate(() => window.sockets.at(-1).close(4000));
      await page.waitForFunction(() => window.sockets.length === 2 && window.sockets[1].readyState === 1, undefined, { timeout: 30_000 });
      await state.filter({ hasText: t["console-connected"] }).waitFor({ timeout: 30_000 });
      await page.keyboard.type("echo still $((40+2))\n");
      await rows.filter({ hasText: "still 42" }).waitFor({ timeout: 30_000 });
      await look("console");
      await page.keyboard.type("exit 3\n");
      await state.filter({ hasText: `${t["console-ended"]} 3` }).waitFor({ timeout: 30_000 });
    });

    test("runs one command without script", async () => {
      const context = await browser.newContext({ locale, javaScriptEnabled: false, storageState: await page.context().storageState() });
      const plain = await context.newPage();
      await plain.goto(`${server.url}/apps/${app}/console`);
      await plain.locator("#f-command").fill("python -c 'print(6*7*1000)'; exit 4");
      await plain.getByRole("button", { name: t.run, exact: true }).click();
      await plain.locator(".term pre", { hasText: "42000" }).waitFor({ timeout: 60_000 });
      assert.match(await plain.locator("[data-console-exit]").textContent(), / 4\s*$/);
      await context.close();
    });

    test("changes a config var", async () => {
      await go(`/apps/${app}/settings`);
      await page.getByLabel(t["var-name"], { exact: true }).fill("SHOP_NAME");
      await page.getByLabel(t["var-value"], { exact: true }).fill("Pixel & Co");
      await page.locator("#vars").getByRole("button", { name: t.add, exact: true }).click();
      await page.locator(".notice.ok").waitFor({ timeout: 90_000 });
      assert.equal(await page.getByText("Pixel & Co").count(), 0, "masked until asked for");
      await page.getByRole("link", { name: t["reveal-vars"] }).click();
      await page.locator("textarea", { hasText: "Pixel & Co" }).waitFor();
      await look("settings");
    });

    test("jumps to a page by a few letters, with the keyboard alone", async () => {
      await page.keyboard.press("Control+k");
      await page.locator("#palette-list li").first().waitFor();
      await look("palette");
      await page.keyboard.type(`${app} ${t.metrics}`);
      await page.locator("#palette-list li", { hasText: t.metrics }).waitFor();
      await page.keyboard.press("Enter");
      await page.waitForURL(`**/apps/${app}/metrics`);
    });

    test("takes config vars from a file, after showing them by name", async () => {
      await go(`/apps/${app}/settings`);
      await page.getByLabel(t["env-label"]).fill("SHOP_NAME='Pixel & Sons'\nDEBUG=0");
      await page.getByRole("button", { name: t["env-look"] }).click();
      await page.locator(".diff li", { hasText: "DEBUG" }).waitFor();
      await look("env");
      await page.getByRole("button", { name: t["env-save"] }).click();
      await page.locator(".notice.ok").waitFor({ timeout: 90_000 });
    });

    test("makes a token and sees its sessions", async () => {
      await go("/account");
      await page.getByLabel(t["token-for"]).fill("class");
      await page.getByRole("button", { name: t["create-token"] }).click();
      await page.getByText("HRKU-").first().waitFor();
      await look("account");
    });

    test("deletes the app by typing its name", async () => {
      await go("/apps");
      await look("apps");
      await go(`/apps/${app}/settings`);
      const confirm = page.locator("#f-confirm");
      await confirm.fill(`${app}x`);
      await page.getByRole("button", { name: t["delete-app"] }).click();
      await page.locator("#e-confirm").waitFor();
      await confirm.fill(app);
      await page.getByRole("button", { name: t["delete-app"] }).click();
      await page.getByText(t["apps-empty"]).waitFor({ timeout: 60_000 });
      // The page that waits for its answer may still ask for an app that is gone.
      const gone = `/apps/${app}/delete: Failed to load resource: the server responded with a status of 404`;
      faults.splice(0, faults.length, ...faults.filter((text) => !text.includes(gone)));
    });

    test("nothing was reported on the way", () => assert.deepEqual(faults, []));
  });
}
