// `script/server --github-demo` as a newcomer starts it, on a folder, an address and a domain of its
// own: claim, create, connect as ana of the stand-in, find the example and connect it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { browse, freePort } from "./served.mjs";

const SCRIPT = new URL("../../script/server", import.meta.url).pathname;
let script, folder, browser, page, faults, output = "";

/** What follows a word in the script's output. */
async function said(word) {
  for (let tries = 0; tries < 1200; tries++) {
    const found = output.match(new RegExp(`^ *${word} +(\\S+)`, "m"));
    if (found) return found[1];
    assert.equal(script.exitCode, null, `the script ended:\n${output}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`it never said ${word}:\n${output}`);
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "siesta-demo-"));
  const settings = { SIESTA_DEMO_PORT: String(await freePort()), SIESTA_LISTEN_TLS: "127.0.0.1:0", SIESTA_NETWORK_RANGE: "10.248.0.0/16" };
  const options = ["--github-demo", "--empty", "--data-dir", folder, "--listen", `127.0.0.1:${await freePort()}`, "--apps-domain", "demo.localhost"];
  script = spawn(SCRIPT, options, { env: { ...process.env, ...settings }, stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [script.stdout, script.stderr]) stream.on("data", (piece) => (output += piece));
  ({ browser, page, faults } = await browse("en-US"));
});

after(async () => {
  await browser?.close();
  if (script?.exitCode === null) {
    const ended = new Promise((resolve) => script.once("exit", resolve));
    script.kill("SIGTERM");
    await ended;
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
});

test("the demo starts, and its example is found and connected", async () => {
  const [dashboard, token, demo] = [await said("Dashboard"), await said("Claim token"), await said("GitHub demo")];
  assert.match(dashboard, /^http:\/\/demo\.localhost:\d+\/?$/);
  await page.goto(`${dashboard}/claim`);
  await page.getByLabel("Claim token").fill(token);
  await page.getByLabel("E-mail").fill("ana@example.org");
  await page.getByLabel("Password", { exact: true }).fill("correct horse battery");
  await page.getByRole("button", { name: "Claim this server", exact: true }).click();
  await page.getByRole("link", { name: "New app" }).click();
  await page.getByLabel("App name").fill("demoshop");
  await page.getByRole("button", { name: "Create app" }).click();
  await page.getByRole("link", { name: "Connect to GitHub" }).click();
  assert.ok(page.url().startsWith(demo), page.url());
  await page.getByLabel("ana", { exact: true }).check();
  await page.getByRole("button", { name: "Authorize Siesta" }).click();
  await page.getByLabel("Search for a repository to connect to").fill("tienda");
  await page.getByRole("button", { name: "Search", exact: true }).click();
  await page.getByRole("button", { name: "Connect ana/tiendavideojuegos" }).click();
  await page.getByRole("link", { name: "ana/tiendavideojuegos" }).waitFor();
  await page.getByText("Tienda de videojuegos").first().waitFor();
  await page.getByText("GitHub told us of this repository").waitFor();
  await page.getByRole("button", { name: "Enable Automatic Deploys" }).click();
  await page.getByRole("button", { name: "Disable Automatic Deploys" }).waitFor();
  assert.deepEqual(faults, []);
});
