// The class hand-out's path in a real browser, in both languages, against a stand-in for GitHub with
// real repositories: in, create, Connect to GitHub, allow, search, Connect, Deploy Branch, View; then
// automatic deploys and a real `git push`.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { CLIENT, StandIn } from "../../script/github-demo/server.mjs";
import { browse, inspect, serve } from "./served.mjs";

const PASSWORD = "correct horse battery";
const EXAMPLE = new URL("../../examples/tienda-videojuegos", import.meta.url).pathname;
let server, github, root;

before(async () => {
  root = mkdtempSync(join(tmpdir(), "github-demo-"));
  github = new StandIn({ root });
  const url = await github.listen();
  server = await serve({
    SIESTA_GITHUB_URL: url,
    SIESTA_GITHUB_CLIENT_ID: CLIENT.id,
    SIESTA_GITHUB_CLIENT_SECRET: CLIENT.secret,
  });
});

after(async () => {
  await server?.stop();
  await github?.close();
  rmSync(root, { recursive: true, force: true });
});

/** The texts of a locale by key; only plain ones. */
function texts(language) {
  const found = {};
  for (const file of ["main", "app", "github"]) {
    const lines = readFileSync(new URL(`../../locales/${language}/${file}.ftl`, import.meta.url), "utf8").split("\n");
    for (const line of lines) {
      const [key, ...rest] = line.split(" = ");
      if (rest.length && !line.startsWith(" ")) found[key] = rest.join(" = ");
    }
  }
  return found;
}

/** git on the reader's machine, asking nobody. The stand-in answers meanwhile. */
async function git(folder, ...args) {
  const env = { PATH: process.env.PATH, HOME: root, GIT_TERMINAL_PROMPT: "0", GIT_CONFIG_NOSYSTEM: "1" };
  const { stdout } = await promisify(execFile)("git", ["-c", "user.name=Ana", "-c", "user.email=ana@example.org", ...args], { cwd: folder, env });
  return stdout.trim();
}

for (const [language, locale, login, app] of [
  ["en", "en-US", "ana", "gameshop"],
  ["es", "es-ES", "luis", "tiendajuegos"],
]) {
  describe(`the hand-out's path in ${language}`, { concurrency: false }, () => {
    const t = texts(language);
    const repository = `${login}/tiendavideojuegos`;
    let browser, page, faults;

    const look = async (name) => {
      const folder = process.env.SIESTA_SCREENSHOTS;
      const picture = async (kind) => folder && page.screenshot({ path: join(folder, `github-${name}-${language}-${kind}.png`), fullPage: true });
      assert.deepEqual(await inspect(page, picture), [], name);
    };

    before(async () => {
      github.person(login);
      github.repository(repository, { isPrivate: true });
      await github.commit(repository, "main", "Tienda de videojuegos", { folder: EXAMPLE });
      ({ browser, page, faults } = await browse(locale));
    });
    after(() => browser?.close());

    test("signs up and creates an app", async () => {
      await page.goto(server.url + (language === "en" ? "/claim" : "/signup"));
      if (language === "en") await page.getByLabel(t["claim-token"]).fill(server.token);
      await page.getByLabel(t.email).fill(`${login}@example.org`);
      await page.getByLabel(t.password, { exact: true }).fill(PASSWORD);
      await page.getByRole("button", { name: language === "en" ? t["claim-do"] : t["sign-up"], exact: true }).click();
      await page.getByRole("link", { name: t["new-app"] }).click();
      await page.getByLabel(t["app-name"]).fill(app);
      await page.getByText(t["name-free"]).waitFor();
      await page.getByRole("button", { name: t["create-app"] }).click();
      await page.getByRole("heading", { name: "GitHub", exact: true }).waitFor();
      await look("not-connected");
    });

    test("connects to GitHub, searches for the repository and connects it", async () => {
      await page.getByRole("link", { name: "Connect to GitHub" }).click();
      await page.getByRole("heading", { name: "Authorize Siesta" }).waitFor();
      await page.getByRole("button", { name: "Cancel" }).click();
      await page.getByText(t["flash-github-denied"]).waitFor();
      await page.getByRole("link", { name: "Connect to GitHub" }).click();
      await page.getByLabel(login, { exact: true }).check();
      await page.getByRole("button", { name: "Authorize Siesta" }).click();
      await page.getByLabel(t["gh-search-label"]).fill("tienda");
      await page.getByRole("button", { name: t["gh-search"], exact: true }).click();
      await look("found");
      await page.getByRole("button", { name: `Connect ${repository}` }).click();
      await page.getByRole("link", { name: repository }).waitFor();
      await page.getByText("Tienda de videojuegos").first().waitFor();
      await look("connected");
    });

    test("the Overview has looked into the repository", async () => {
      const deploy = page.url();
      await page.getByRole("link", { name: t.overview, exact: true }).click();
      await page.locator("#checklist li.done").nth(3).waitFor();
      await page.locator("#checklist li.done", { hasText: github.git.branches(repository).main.slice(0, 8) }).waitFor();
      const found = await page.locator("#checklist li.done p").allTextContents();
      assert.match(found[1], new RegExp(`${repository}.*main.*${github.git.branches(repository).main.slice(0, 8)}`));
      assert.match(found[2], /web: gunicorn/);
      assert.match(found[3], /^requirements\.txt/);
      assert.equal(await page.locator("#checklist").getByRole("button", { name: "Deploy Branch" }).count(), 1);
      await look("checklist");
      await page.goto(deploy);
    });

    test("Deploy Branch ticks its steps, and View leads to the shop", async () => {
      await page.getByRole("button", { name: "Deploy Branch" }).click();
      await page.getByText(t["step-receive"]).waitFor();
      await page.getByText("-----> ").first().waitFor({ timeout: 120_000 });
      await look("deploying");
      await page.getByText(t["gh-deployed"]).waitFor({ timeout: 300_000 });
      assert.equal(await page.locator(".ticked li.ok").count(), 4);
      const head = github.git.branches(repository).main.slice(0, 8);
      const named = language === "en" ? ["Receive code from GitHub", `Build main ${head}`, "Release phase", "Deploy"] : [t["step-receive"], `Construir main ${head}`, t["step-release"], t["step-deploy"]];
      assert.deepEqual(await page.locator(".ticked li > span:first-of-type").allTextContents(), named);
      await look("deployed");
      const [opened] = await Promise.all([page.context().waitForEvent("page"), page.getByRole("link", { name: "View", exact: true }).click()]);
      await opened.waitForURL(new RegExp(`//${app}\\.localhost`));
      await opened.getByText("Tienda", { exact: false }).first().waitFor({ timeout: 90_000 });
      await opened.close();
    });

    test("More, Run console, heroku run bash: looks around in the dyno and leaves with an exit code", async () => {
      await page.goto(`${server.url}/apps/${app}`);
      await page.locator("summary", { hasText: t.more }).click();
      await page.getByRole("link", { name: t["run-console"] }).click();
      await page.locator("#f-command").fill("bash");
      await page.getByRole("button", { name: t.run, exact: true }).click();
      const [state, rows] = [page.locator("[data-console-state]"), page.locator(".xterm-rows")];
      await state.filter({ hasText: t["console-connected"] }).waitFor({ timeout: 90_000 });
      await page.keyboard.type("ls\n");
      await rows.filter({ hasText: "requirements.txt" }).waitFor({ timeout: 60_000 });
      await page.keyboard.type("python -c 'import flask, os; print(6 * 7 * 1000, os.environ[\"DYNO\"])'\n");
      await rows.filter({ hasText: /42000 run\.\d+/ }).waitFor({ timeout: 60_000 });
      await look("console");
      await page.locator(".xterm").click();
      await page.keyboard.type("exit 3\n");
      await state.filter({ hasText: `${t["console-ended"]} 3` }).waitFor({ timeout: 60_000 });
    });

    test("after Enable Automatic Deploys a real git push goes live by itself", async () => {
      await page.goto(`${server.url}/apps/${app}/deploy`);
      await page.getByRole("button", { name: "Enable Automatic Deploys" }).click();
      await page.getByRole("button", { name: "Disable Automatic Deploys" }).waitFor();
      await look("automatic");
      const work = join(root, `work-${language}`);
      const address = `${github.url.replace("//", `//${login}:demo@`)}/${repository}.git`;
      await git(root, "clone", "--quiet", address, work);
      const path = join(work, "tienda/templates/base.html");
      writeFileSync(path, readFileSync(path, "utf8").replace("<body", `<!-- pushed ${language} --><body`));
      await git(work, "commit", "--quiet", "--all", "-m", "A new front");
      await git(work, "push", "--quiet", "origin", "main");
      const sha = await git(work, "rev-parse", "HEAD");
      await page.goto(`${server.url}/apps/${app}/github/deliveries`);
      const row = page.locator("tr", { hasText: sha.slice(0, 8) });
      for (let tries = 0; tries < 150 && !(await row.getByText(t["verdict-deployed"], { exact: true }).count()); tries++) {
        await page.waitForTimeout(1000);
        await page.reload();
      }
      await look("deliveries");
      await row.getByRole("link").click();
      await page.getByText(t["gh-deployed"]).waitFor({ timeout: 300_000 });
      const opened = await page.context().newPage();
      await opened.goto(server.url.replace("//", `//${app}.`));
      assert.match(await opened.content(), new RegExp(`pushed ${language}`));
      await opened.close();
      const states = await until(() => [...github.deployments.values()].find((one) => one.sha === sha)?.states.map((state) => state.state), (list) => list?.at(-1) === "success");
      assert.equal(states.at(-1), "success");
      const status = github.statuses.get(`${repository} ${sha}`).at(-1);
      assert.deepEqual([status.state, status.context], ["success", `siesta/${app}`]);
    });

    test("nothing was wrong in the browser or between us and GitHub's description", async () => {
      assert.deepEqual(faults, []);
      assert.deepEqual(github.faults, []);
      assert.ok(github.deliveries.every(({ status }) => status === 202), JSON.stringify(github.deliveries));
    });
  });
}

/** Asks again until the answer is what is awaited. */
async function until(ask, is) {
  for (let tries = 0; tries < 120; tries++) {
    const answer = ask();
    if (is(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return ask();
}
