// A stand-in for GitHub on this machine: the pages of its web flow, the part of its API that Siesta
// uses, real repositories, webhooks. Every request and every answer is held against GitHub's own
// description (description.mjs); what is not known answers 501.
//
//   node server.mjs [--port N] [--data FOLDER] [--example FOLDER] [--control]
//
// --example FOLDER  makes ana/tiendavideojuegos of it;  --control  lets tests arrange things.

import { createHash, randomBytes, randomUUID } from "node:crypto";
import http, { createServer } from "node:http";
import https from "node:https";
import { mkdirSync, mkdtempSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sign, verify } from "@octokit/webhooks-methods";
import { answer, faultsOfAnswer, faultsOfRequest, find, names } from "./description.mjs";
import { Git } from "./git.mjs";
import { page, text } from "./pages.mjs";

export const CLIENT = { id: "Ov23demo0000000000000", secret: "demo-client-secret", webhookSecret: "demo-webhook-secret" };
const API = "/api/v3";
/** Calls an hour: with a token, and without. */
const ALLOWANCE = { token: 5000, anonymous: 60 };

export class StandIn {
  constructor({ root, control = false }) {
    this.git = new Git(root);
    this.control = control;
    this.people = new Map();
    this.organisations = new Map();
    this.repositories = new Map();
    this.codes = new Map();
    this.tokens = new Map();
    this.redirects = new Map();
    this.statuses = new Map();
    this.checks = new Map();
    this.deployments = new Map();
    this.hooks = new Map();
    /** We play a GitHub App: tokens are short-lived and reach what it is installed on. */
    this.app = false;
    this.refreshes = new Map();
    this.installations = new Map();
    /** The hook of the GitHub App: { url, secret }. */
    this.appHook = undefined;
    /** The id of what a repository was called before. */
    this.former = new Map();
    /** Calls left in this hour, by login; undefined is nobody. */
    this.allowance = new Map();
    /** Where archives lie, if not here. */
    this.archives = undefined;
    /** Every call of the API: operation, status, who. */
    this.asked = [];
    /** What did not fit the description. */
    this.faults = [];
    this.deliveries = [];
    this.next = 1000;
    this.server = createServer((request, response) => {
      this.handle(request, response).catch((error) => {
        this.faults.push(`${request.method} ${request.url}: ${error.stack}`);
        if (!response.headersSent) response.writeHead(500);
        response.end();
      });
    });
  }

  async listen(port = 0) {
    await new Promise((resolve) => this.server.listen(port, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this.url;
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  // --- arranging ---------------------------------------------------------------------------------

  id() {
    return ++this.next;
  }

  person(login, email = `${login}@example.org`) {
    this.people.set(login, { id: this.id(), login, email });
  }

  organisation(login, members) {
    this.organisations.set(login, { id: this.id(), login, members });
  }

  repository(name, { isPrivate = false, admins = [name.split("/")[0]] } = {}) {
    this.git.create(name);
    this.repositories.set(name, { id: this.id(), name, isPrivate, admins, pushedAt: Date.now() });
  }

  /** Commits to a branch and tells the hooks, as a push does. */
  async commit(name, branch, message, content) {
    const before = this.git.references(name);
    const sha = this.git.commit(name, branch, message, content);
    await this.tell(name, before, name.split("/")[0]);
    return sha;
  }

  grant(login, scope) {
    const token = `${this.app ? "ghu" : "gho"}_${randomBytes(20).toString("hex")}`;
    this.tokens.set(token, { login, scope });
    return token;
  }

  /** What a code or a refresh token is exchanged for. */
  granted(login, scope) {
    const token = { access_token: this.grant(login, this.app ? "" : scope), token_type: "bearer", scope: this.app ? "" : scope.replaceAll(" ", ",") };
    if (!this.app) return token;
    const refresh = `ghr_${randomBytes(20).toString("hex")}`;
    this.refreshes.set(refresh, login);
    return { ...token, expires_in: 28_800, refresh_token: refresh, refresh_token_expires_in: 15_897_600 };
  }

  /** Installs the GitHub App on an account for these repositories, in place of others. */
  install(login, chosen) {
    const known = [...this.installations.values()].find((one) => one.login === login);
    const one = known ?? { id: this.id(), login };
    one.chosen = new Set(chosen);
    this.installations.set(one.id, one);
    return one.id;
  }

  rename(name, to) {
    const known = this.repositories.get(name);
    this.git.rename(name, to);
    this.repositories.delete(name);
    this.repositories.set(to, { ...known, name: to });
    this.former.set(name, known.id);
    for (const { chosen } of this.installations.values()) if (chosen.delete(name)) chosen.add(to);
  }

  // --- requests ----------------------------------------------------------------------------------

  async handle(request, response) {
    const url = new URL(request.url, this.url);
    const { pathname } = url;
    const send = (status, body, headers = {}) => {
      const whole = typeof body === "string" || Buffer.isBuffer(body) || body === undefined ? body : JSON.stringify(body);
      response.writeHead(status, { "content-type": "application/json; charset=utf-8", ...headers });
      response.end(whole);
    };
    if (pathname.startsWith(`${API}/`)) return this.api(request, url, send);
    if (pathname.startsWith("/_codeload/")) return this.codeload(url, response, send);
    if (pathname.startsWith("/_control/") && this.control) return this.arrange(pathname.slice(10), await json(request), send);
    const git = /^\/([\w.-]+\/[\w.-]+)\.git(\/(?:info\/refs|git-upload-pack|git-receive-pack))$/.exec(pathname);
    if (git) return this.smart(request, response, { name: git[1], rest: git[2], query: url.search.slice(1) }, send);
    return this.site(request, url, send);
  }

  // --- the pages ---------------------------------------------------------------------------------

  async site(request, url, send) {
    const html = (status, title, body) => send(status, page(title, body), { "content-type": "text/html; charset=utf-8" });
    const route = `${request.method} ${url.pathname}`;
    if (route === "GET /login/oauth/authorize") {
      const asked = Object.fromEntries(url.searchParams);
      if (asked.client_id !== CLIENT.id) return html(404, "Not found", "<p>There is no such application.</p>");
      if (!asked.state || asked.code_challenge_method !== "S256") this.faults.push("authorize without a state or a PKCE challenge");
      const hidden = Object.entries(asked).map(([name, value]) => `<input type="hidden" name="${text(name)}" value="${text(value)}">`);
      const people = [...this.people.keys()].map((login) => `<label><input type="radio" name="login" value="${text(login)}" required> ${text(login)}</label><br>`);
      return html(
        200,
        "Authorize Siesta",
        `<h1>Authorize Siesta</h1><p><b>Siesta</b> wants to access your account${asked.scope ? `: <code>${text(asked.scope)}</code>` : ""}.</p>
         <form method="post" action="/login/oauth/authorize">${hidden.join("")}<fieldset><legend>Who are you?</legend>${people.join("")}</fieldset>
         <button name="authorize" value="1">Authorize Siesta</button> <button name="authorize" value="0" formnovalidate>Cancel</button></form>`,
      );
    }
    if (route === "POST /login/oauth/authorize") {
      const sent = new URLSearchParams((await whole(request)).toString());
      const back = new URL(sent.get("redirect_uri"));
      back.searchParams.set("state", sent.get("state"));
      if (sent.get("authorize") === "1") {
        const code = randomBytes(10).toString("hex");
        this.codes.set(code, { login: sent.get("login"), scope: sent.get("scope") ?? "", challenge: sent.get("code_challenge"), redirect: sent.get("redirect_uri") });
        back.searchParams.set("code", code);
      } else back.searchParams.set("error", "access_denied");
      return send(302, "", { location: back.href });
    }
    if (route === "POST /login/oauth/access_token") return this.exchange(await json(request), send);
    if (route === "GET /settings/applications/new" || route === "GET /settings/apps/new") {
      return html(200, "Register", `<h1>Nothing to register here</h1><p>This stand-in knows one application: client id <code>${CLIENT.id}</code>, client secret <code>${CLIENT.secret}</code>.</p>`);
    }
    if (route === "GET /favicon.ico") return send(204);
    if (route === "GET /") {
      const rows = [...this.repositories.values()].map((one) => `<li><a href="/${text(one.name)}">${text(one.name)}</a></li>`);
      return html(200, "GitHub stand-in", `<h1>A stand-in for GitHub</h1><ul>${rows.join("")}</ul>`);
    }
    const shown = /^\/([\w.-]+\/[\w.-]+)(\/.*)?$/.exec(url.pathname);
    const known = shown && this.repositories.get(shown[1]);
    if (known && request.method === "GET") return html(200, known.name, this.overview(known));
    return send(501, { message: `${route} is not part of this stand-in` });
  }

  overview({ name }) {
    const rows = Object.entries(this.git.branches(name)).map(([branch, sha]) => {
      const said = (this.statuses.get(`${name} ${sha}`) ?? []).map((one) => `${text(one.context)}: ${one.state} (${text(one.description ?? "")})`);
      return `<li><b>${text(branch)}</b> <code>${sha.slice(0, 8)}</code> ${text(this.git.commitOf(name, sha).message.split("\n")[0])}<br>${said.join("<br>")}</li>`;
    });
    const deployed = [...this.deployments.values()].filter((one) => one.name === name);
    const list = deployed.map((one) => `<li>${text(one.environment)} <code>${one.sha.slice(0, 8)}</code> ${one.states.map((state) => text(state.state)).join(", ")}</li>`);
    return `<h1>${text(name)}</h1><p><code>git clone ${this.url}/${text(name)}.git</code></p><ul>${rows.join("")}</ul><h2>Deployments</h2><ul>${list.join("")}</ul>`;
  }

  exchange(asked, send) {
    const wrong = (error) => send(200, { error, error_description: error });
    if (asked.client_id !== CLIENT.id || asked.client_secret !== CLIENT.secret) return wrong("incorrect_client_credentials");
    if (asked.grant_type === "refresh_token") {
      const login = this.refreshes.get(asked.refresh_token);
      this.refreshes.delete(asked.refresh_token);
      return login ? send(200, this.granted(login, "")) : wrong("bad_refresh_token");
    }
    const known = this.codes.get(asked.code);
    this.codes.delete(asked.code);
    if (!known) return wrong("bad_verification_code");
    if (asked.redirect_uri !== known.redirect) return wrong("redirect_uri_mismatch");
    const challenge = createHash("sha256").update(asked.code_verifier ?? "").digest("base64url");
    if (challenge !== known.challenge) return wrong("bad_verification_code");
    return send(200, this.granted(known.login, known.scope));
  }

  // --- the API -----------------------------------------------------------------------------------

  async api(request, url, answered) {
    const path = this.current(url.pathname.slice(API.length));
    const raw = await whole(request);
    const body = raw.length ? JSON.parse(raw.toString()) : undefined;
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    const who = bearer && this.tokens.get(bearer);
    const entry = { operation: `${request.method} ${path}`, status: 0, login: who?.login };
    this.asked.push(entry);
    const send = (status, facts, headers = {}) => {
      entry.status = status;
      return answered(status, facts, headers);
    };
    if (!request.headers["user-agent"]) this.faults.push(`${entry.operation}: GitHub refuses a call without User-Agent`);
    const moved = this.moved(path);
    if (moved) return send(request.method === "GET" ? 301 : 307, { message: "Moved Permanently", url: moved }, { location: moved });
    const found = path && find(request.method, path);
    if (path === undefined) return send(404, { message: "Not Found" });
    if (!found) {
      this.faults.push(`${request.method} ${path} is not known`);
      return send(501, { message: `${request.method} ${path} is not part of this stand-in` });
    }
    const { operation } = found;
    const name = `${operation.method} ${operation.path}`;
    entry.operation = name;
    const wrong = faultsOfRequest(operation, url.searchParams, body);
    if (wrong.length) {
      this.faults.push(`${name}: ${wrong.join("; ")}`);
      return send(422, { message: `Validation Failed: ${wrong.join("; ")}` });
    }
    if (bearer && !who) return send(401, { message: "Bad credentials" });
    const limits = this.counted(who?.login);
    if (limits.spent) return send(403, { message: "API rate limit exceeded", documentation_url: "https://docs.github.com/rest" }, limits.headers());
    const outcome = await this[name]({ path: found.path, query: url.searchParams, body, who, headers: request.headers });
    const status = outcome.status ?? 200;
    const facts = status < 400 && outcome.facts !== undefined ? answer(operation, status, outcome.facts) : outcome.facts;
    const faults = faultsOfAnswer(operation, status, facts);
    if (faults.length) {
      this.faults.push(`${name} answered ${status}: ${faults.slice(0, 5).join("; ")}`);
      return send(500, { message: `the stand-in's answer does not fit: ${faults.slice(0, 5).join("; ")}` });
    }
    const tagged = operation.method === "GET" && status === 200;
    const tag = tagged ? { etag: `W/"${createHash("sha256").update(JSON.stringify(facts)).digest("hex")}"` } : {};
    if (tagged && request.headers["if-none-match"] === tag.etag) {
      limits.back();
      return send(304, undefined, { ...limits.headers(), ...tag });
    }
    return send(status, facts, { ...limits.headers(), ...tag, ...outcome.headers });
  }

  /** A path by a repository's id as one by its name: not in the description, but where GitHub's own
   *  redirects of renamed repositories lead. */
  current(path) {
    const byId = /^\/repositories\/(\d+)(\/.*)?$/.exec(path);
    if (!byId) return path;
    const known = [...this.repositories.values()].find((one) => one.id === Number(byId[1]));
    return known && `/repos/${known.name}${byId[2] ?? ""}`;
  }

  /** Where a path of a renamed repository leads. */
  moved(path) {
    const named = /^\/repos\/([^/]+\/[^/]+)(\/.*)?$/.exec(path ?? "");
    if (!named || this.repositories.has(named[1]) || !this.former.has(named[1])) return undefined;
    return `${this.url}${API}/repositories/${this.former.get(named[1])}${named[2] ?? ""}`;
  }

  /** Counts a call against the hour's allowance; what was not new is counted back. */
  counted(login) {
    const limit = login ? ALLOWANCE.token : ALLOWANCE.anonymous;
    const left = this.allowance.get(login) ?? limit;
    const set = (left) => this.allowance.set(login, left);
    if (left > 0) set(left - 1);
    const reset = String(Math.floor(Date.now() / 1000) + 3600);
    return {
      spent: left <= 0,
      back: () => login && set(left),
      headers: () => ({ "x-ratelimit-limit": String(limit), "x-ratelimit-remaining": String(this.allowance.get(login)), "x-ratelimit-reset": reset }),
    };
  }

  visible(name, who) {
    const known = this.repositories.get(name);
    if (!known) return undefined;
    const reached = !this.app || this.isInstalled(name);
    return !known.isPrivate || (who && reached && this.mayAdmin(known, who)) ? known : undefined;
  }

  isInstalled(name) {
    return [...this.installations.values()].some((one) => one.chosen.has(name));
  }

  mayAdmin(known, who) {
    return known.admins.includes(who.login);
  }

  facts(known, who) {
    const [owner, name] = known.name.split("/");
    const api = `${this.url}${API}/repos/${known.name}`;
    const admin = Boolean(who && this.mayAdmin(known, who));
    return {
      id: known.id,
      name,
      full_name: known.name,
      private: known.isPrivate,
      owner: { login: owner, id: this.people.get(owner)?.id ?? 1 },
      html_url: `${this.url}/${known.name}`,
      url: api,
      default_branch: "main",
      permissions: { admin, maintain: admin, push: admin, triage: admin, pull: true },
      visibility: known.isPrivate ? "private" : "public",
    };
  }

  /** One page of a list, with GitHub's `Link`. */
  paged(items, query, fallback = 30) {
    const [size, number] = [Number(query.get("per_page") ?? fallback), Number(query.get("page") ?? 1)];
    const part = items.slice((number - 1) * size, number * size);
    const headers = items.length > number * size ? { link: `<${this.url}/next?page=${number + 1}>; rel="next"` } : {};
    return { facts: part, headers };
  }

  /** Runs `act` on the repository of the path, where it can be seen. */
  on({ path, who }, act) {
    const known = this.visible(`${path.owner}/${path.repo}`, who);
    return known ? act(known) : { status: 404, facts: { message: "Not Found", documentation_url: "https://docs.github.com/rest" } };
  }

  "GET /user"({ who }) {
    if (!who) return { status: 401, facts: { message: "Requires authentication" } };
    const { id, login } = this.people.get(who.login);
    return { facts: { id, login, type: "User" } };
  }

  "GET /user/emails"({ who }) {
    if (!who) return { status: 401, facts: { message: "Requires authentication" } };
    return { facts: [{ email: this.people.get(who.login).email, primary: true, verified: true, visibility: "private" }] };
  }

  "GET /user/orgs"({ who }) {
    const mine = [...this.organisations.values()].filter((one) => one.members.includes(who?.login));
    return { facts: mine.map(({ id, login }) => ({ id, login })) };
  }

  "GET /user/repos"({ who, query }) {
    if (!who) return { status: 401, facts: { message: "Requires authentication" } };
    const mine = [...this.repositories.values()].filter((one) => one.name.startsWith(`${who.login}/`));
    return this.paged(this.sorted(mine, who), query);
  }

  "GET /orgs/{org}/repos"({ who, path, query }) {
    const all = [...this.repositories.values()].filter((one) => one.name.startsWith(`${path.org}/`) && this.visible(one.name, who));
    return this.paged(this.sorted(all, who), query);
  }

  "GET /search/repositories"({ who, query }) {
    const words = query.get("q").split(" ");
    const owner = words.find((word) => word.startsWith("user:"))?.slice(5);
    const plain = words.filter((word) => !/^(user|in|fork):/.test(word)).join(" ");
    const fits = (one) => one.name.startsWith(`${owner}/`) && one.name.split("/")[1].includes(plain) && this.visible(one.name, who);
    const all = this.sorted([...this.repositories.values()].filter(fits), who);
    const { facts, headers } = this.paged(all, query);
    return { facts: { total_count: all.length, incomplete_results: false, items: facts }, headers };
  }

  sorted(repositories, who) {
    return repositories.sort((a, b) => b.pushedAt - a.pushedAt || b.id - a.id).map((one) => this.facts(one, who));
  }

  "GET /repos/{owner}/{repo}"(asked) {
    return this.on(asked, (known) => ({ facts: this.facts(known, asked.who) }));
  }

  "GET /repos/{owner}/{repo}/branches"(asked) {
    return this.on(asked, ({ name }) => {
      const all = Object.entries(this.git.branches(name)).map(([branch, sha]) => ({ name: branch, commit: { sha, url: this.url }, protected: false }));
      return this.paged(all, asked.query);
    });
  }

  "GET /repos/{owner}/{repo}/branches/{branch}"(asked) {
    return this.on(asked, ({ name }) => {
      const sha = this.git.branches(name)[asked.path.branch];
      if (!sha) return { status: 404, facts: { message: "Branch not found" } };
      const { author, email, date, message } = this.git.commitOf(name, sha);
      const person = { name: author, email, date };
      const url = `${this.url}${API}/repos/${name}/commits/${sha}`;
      const facts = {
        name: asked.path.branch,
        commit: { sha, url, html_url: url, comments_url: url, commit: { message, author: person, committer: person, url, tree: { sha, url } }, author: null, committer: null, parents: [] },
        _links: { html: url, self: url },
        protection_url: url,
      };
      return { facts };
    });
  }

  "GET /repos/{owner}/{repo}/commits/{ref}/status"(asked) {
    return this.on(asked, ({ name }) => {
      const all = this.statuses.get(`${name} ${asked.path.ref}`) ?? [];
      const newest = [...new Map(all.map((one) => [one.context, one])).values()];
      const url = `${this.url}${API}/repos/${name}`;
      return { facts: { state: "pending", sha: asked.path.ref, total_count: newest.length, statuses: newest.map((one) => ({ ...one, avatar_url: null, url })), commit_url: url, url, repository: this.facts(this.repositories.get(name), asked.who) } };
    });
  }

  "GET /repos/{owner}/{repo}/commits/{ref}/check-runs"(asked) {
    return this.on(asked, ({ name }) => {
      const all = this.checks.get(`${name} ${asked.path.ref}`) ?? [];
      return { facts: { total_count: all.length, check_runs: all } };
    });
  }

  "GET /repos/{owner}/{repo}/tarball/{ref}"(asked) {
    return this.on(asked, ({ name }) => {
      if (!this.git.hasCommit(name, asked.path.ref)) return { status: 404, facts: { message: "Not Found" } };
      const ticket = randomBytes(12).toString("hex");
      this.redirects.set(ticket, { name, sha: asked.path.ref });
      if (this.archives) return { status: 302, headers: { location: this.archives } };
      return { status: 302, headers: { location: `${this.url}/_codeload/${name}/legacy.tar.gz/${asked.path.ref}?token=${ticket}` } };
    });
  }

  codeload(url, response, send) {
    const known = this.redirects.get(url.searchParams.get("token"));
    if (!known) return send(404, { message: "Not Found" });
    response.writeHead(200, { "content-type": "application/x-gzip" });
    this.git.archive(known.name, known.sha).stdout.pipe(response);
  }

  "GET /repos/{owner}/{repo}/git/trees/{tree_sha}"(asked) {
    return this.on(asked, ({ name }) => ({ facts: { sha: asked.path.tree_sha, url: this.url, tree: this.git.tree(name, asked.path.tree_sha), truncated: false } }));
  }

  "GET /repos/{owner}/{repo}/contents/{path}"(asked) {
    return this.on(asked, ({ name }) => {
      const bytes = this.git.file(name, asked.query.get("ref"), asked.path.path);
      const url = `${this.url}${API}/repos/${name}/contents/${asked.path.path}`;
      const links = { git: url, html: url, self: url };
      return { facts: { type: "file", encoding: "base64", size: bytes.length, name: asked.path.path, path: asked.path.path, content: bytes.toString("base64").replace(/.{60}/g, "$&\n"), sha: asked.query.get("ref"), url, git_url: url, html_url: url, download_url: url, _links: links } };
    });
  }

  "POST /repos/{owner}/{repo}/hooks"(asked) {
    return this.on(asked, async (known) => {
      if (!this.mayAdmin(known, asked.who ?? {})) return { status: 404, facts: { message: "Not Found" } };
      const hook = { id: this.id(), name: known.name, events: asked.body.events, config: asked.body.config };
      this.hooks.set(hook.id, hook);
      // GitHub sends it at once, so it may well be there before the answer; here it always is.
      await this.deliver(hook, "ping", { zen: "Keep it logically awesome.", hook_id: hook.id, repository: this.facts(known) });
      const url = `${this.url}${API}/repos/${known.name}/hooks/${hook.id}`;
      const at = "2026-01-01T00:00:00Z";
      const { secret: _, ...config } = asked.body.config;
      return { status: 201, facts: { id: hook.id, type: "Repository", name: "web", active: true, events: hook.events, config, updated_at: at, created_at: at, url, test_url: url, ping_url: url, deliveries_url: url, last_response: { code: null, status: "unused", message: null } } };
    });
  }

  "DELETE /repos/{owner}/{repo}/hooks/{hook_id}"(asked) {
    return this.on(asked, (known) => {
      const hook = this.hooks.get(Number(asked.path.hook_id));
      if (!this.mayAdmin(known, asked.who ?? {}) || hook?.name !== known.name) return { status: 404, facts: { message: "Not Found", documentation_url: "x" } };
      this.hooks.delete(hook.id);
      return { status: 204 };
    });
  }

  "POST /repos/{owner}/{repo}/deployments"(asked) {
    return this.on(asked, ({ name }) => {
      const made = { id: this.id(), name, sha: asked.body.ref, environment: asked.body.environment, states: [] };
      this.deployments.set(made.id, made);
      const url = `${this.url}${API}/repos/${name}/deployments/${made.id}`;
      const at = "2026-01-01T00:00:00Z";
      return { status: 201, facts: { id: made.id, sha: made.sha, ref: made.sha, environment: made.environment, task: "deploy", payload: "", url, statuses_url: url, repository_url: url, created_at: at, updated_at: at } };
    });
  }

  "POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses"(asked) {
    return this.on(asked, ({ name }) => {
      const known = this.deployments.get(Number(asked.path.deployment_id));
      if (known?.name !== name) return { status: 404, facts: { message: "Not Found" } };
      known.states.push(asked.body);
      const url = `${this.url}${API}/repos/${name}/deployments/${known.id}`;
      return { status: 201, facts: { id: this.id(), state: asked.body.state, description: asked.body.description ?? "", url, deployment_url: url, repository_url: url, target_url: url } };
    });
  }

  "POST /repos/{owner}/{repo}/statuses/{sha}"(asked) {
    return this.on(asked, ({ name }) => {
      this.status(name, asked.path.sha, asked.body);
      const url = `${this.url}${API}/repos/${name}/statuses/${asked.path.sha}`;
      return { status: 201, facts: { id: this.id(), state: asked.body.state, context: asked.body.context, description: asked.body.description ?? "", target_url: asked.body.target_url ?? url, url } };
    });
  }

  /** A status of a commit, told to the hooks. */
  status(name, sha, { state, context, description = "", target_url = this.url }) {
    const key = `${name} ${sha}`;
    const one = { id: this.id(), node_id: "", state, context, description, target_url, created_at: "2026-01-01T00:00:00Z", updated_at: "2026-01-01T00:00:00Z" };
    this.statuses.set(key, [...(this.statuses.get(key) ?? []), one]);
    const payload = { id: one.id, sha, name, state, context, description, repository: this.facts(this.repositories.get(name)) };
    for (const hook of this.hooksOf(name, "status")) this.deliver(hook, "status", payload);
  }

  "DELETE /applications/{client_id}/grant"({ path, body, headers }) {
    const [id, secret] = Buffer.from((headers.authorization ?? "").replace(/^Basic /, ""), "base64").toString().split(":");
    if (path.client_id !== CLIENT.id || id !== CLIENT.id || secret !== CLIENT.secret) return { status: 404, facts: { message: "Not Found" } };
    const known = this.tokens.get(body.access_token);
    if (!known) return { status: 422, facts: { message: "Validation Failed", documentation_url: "x" } };
    for (const [token, one] of this.tokens) if (one.login === known.login) this.tokens.delete(token);
    return { status: 204 };
  }

  "GET /user/installations"({ who, query }) {
    if (!who) return { status: 401, facts: { message: "Requires authentication" } };
    const mine = (one) => one.login === who.login || this.organisations.get(one.login)?.members.includes(who.login);
    const all = [...this.installations.values()].filter(mine).map(({ id, login }) => {
      const account = { login, id: this.people.get(login)?.id ?? this.organisations.get(login)?.id ?? 1, type: this.people.has(login) ? "User" : "Organization" };
      return { id, account, app_id: 1, app_slug: "siesta-demo", target_id: account.id, target_type: account.type, repository_selection: "selected", events: ["push"] };
    });
    const { facts, headers } = this.paged(all, query);
    return { facts: { total_count: all.length, installations: facts }, headers };
  }

  "GET /user/installations/{installation_id}/repositories"({ who, path, query }) {
    const one = this.installations.get(Number(path.installation_id));
    if (!who || !one) return { status: 404, facts: { message: "Not Found" } };
    const all = this.sorted([...one.chosen].map((name) => this.visible(name, who)).filter(Boolean), who);
    const { facts, headers } = this.paged(all, query);
    return { facts: { total_count: all.length, repositories: facts }, headers };
  }

  // --- git ---------------------------------------------------------------------------------------

  async smart(request, response, { name, rest, query }, send) {
    const [login, password] = Buffer.from((request.headers.authorization ?? "").replace(/^Basic /, ""), "base64").toString().split(":");
    const who = this.people.has(login) && password === "demo" ? { login } : undefined;
    const pushes = rest === "/git-receive-pack" || query.includes("git-receive-pack");
    const known = this.visible(name, who);
    if (!known || (pushes && !(who && this.mayAdmin(known, who)))) return send(401, "", { "www-authenticate": 'Basic realm="stand-in"' });
    const before = this.git.references(name);
    await this.git.serve(request, response, { path: `/${name}.git${rest}`, query, user: who?.login });
    if (rest === "/git-receive-pack") await this.tell(name, before, who.login);
  }

  hooksOf(name, event) {
    const own = [...this.hooks.values()].filter((hook) => hook.name === name && hook.events.includes(event));
    return this.appHook && this.isInstalled(name) ? [...own, { config: this.appHook }] : own;
  }

  /** Tells the hooks what a push changed. */
  async tell(name, before, login) {
    const known = this.repositories.get(name);
    const after = this.git.references(name);
    known.pushedAt = Date.now();
    const zero = "0".repeat(40);
    for (const ref of new Set([...before.keys(), ...after.keys()])) {
      const [from, to] = [before.get(ref) ?? zero, after.get(ref) ?? zero];
      if (from === to) continue;
      const head = to === zero ? null : { id: to, message: this.git.commitOf(name, to).message };
      const payload = { ref, before: from, after: to, created: from === zero, deleted: to === zero, forced: false, repository: this.facts(known), pusher: { name: login, email: `${login}@example.org` }, sender: { login, id: this.people.get(login)?.id ?? 1, type: "User" }, head_commit: head, commits: head ? [head] : [] };
      for (const hook of this.hooksOf(name, "push")) await this.deliver(hook, "push", payload);
    }
  }

  /** One delivery, signed. GitHub gives up after ten seconds and does not try again. */
  async deliver(hook, event, payload, guid = randomUUID()) {
    const body = JSON.stringify(payload);
    const signature = await sign(hook.config.secret, body);
    const headers = { "content-type": "application/json", "user-agent": "GitHub-Hookshot/demo", "x-github-event": event, "x-github-delivery": guid, "x-hub-signature-256": signature };
    try {
      this.deliveries.push({ guid, event, status: await posted(hook.config.url, headers, body) });
    } catch (error) {
      this.deliveries.push({ guid, event, status: 0, error: String(error) });
    }
  }

  // --- what tests arrange --------------------------------------------------------------------------

  async arrange(what, given, send) {
    const done = {
      person: () => this.person(given.login, given.email),
      organisation: () => this.organisation(given.login, given.members),
      repository: () => this.repository(given.name, given),
      commit: () => this.commit(given.name, given.branch, given.message, given),
      rename: () => this.rename(given.name, given.to),
      app: () => {
        this.app = true;
        this.appHook = given.hook;
      },
      install: () => this.install(given.login, given.names),
      limit: () => this.allowance.set(given.login, given.left),
      archives: () => (this.archives = given.at),
      verify: () => verify(given.secret, given.body, given.signature),
      examples: () => examples(given.secret),
      token: () => this.grant(given.login, "repo"),
      status: () => this.status(given.name, given.sha, given),
      check: () => {
        const at = "2026-01-01T00:00:00Z";
        const run = { id: this.id(), head_sha: given.sha, name: given.check, status: given.status, conclusion: given.conclusion, started_at: at, completed_at: at, app: null, check_suite: null, pull_requests: [] };
        this.checks.set(`${given.name} ${given.sha}`, [run]);
      },
      code: () => {
        const code = randomBytes(10).toString("hex");
        this.codes.set(code, { scope: "repo", ...given });
        return code;
      },
      seen: () => ({ faults: this.faults, tokens: [...this.tokens.keys()], asked: this.asked, unused: names.filter((name) => !this.asked.some((one) => one.operation === name)), deliveries: this.deliveries, hooks: [...this.hooks.values()], deployments: [...this.deployments.values()], statuses: Object.fromEntries(this.statuses) }),
    }[what];
    return done ? send(200, { done: (await done()) ?? null }) : send(501, { message: `${what} cannot be arranged` });
  }
}

/** Posts and resolves with the status. Names below localhost are this machine, whatever its resolver knows. */
function posted(address, headers, body) {
  const url = new URL(address);
  const host = url.hostname === "localhost" || url.hostname.endsWith(".localhost") ? "127.0.0.1" : url.hostname;
  const options = { host, port: url.port, path: url.pathname + url.search, method: "POST", timeout: 10_000 };
  return new Promise((resolve, reject) => {
    const { request } = url.protocol === "https:" ? https : http;
    const sent = request({ ...options, headers: { ...headers, host: url.host, "content-length": Buffer.byteLength(body) } }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.statusCode));
      answer.on("error", reject);
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer in ten seconds")));
    sent.on("error", reject);
    sent.end(body);
  });
}

/** GitHub's own examples of deliveries, each as it would be sent. */
async function examples(secret) {
  const all = createRequire(import.meta.url)("@octokit/webhooks-examples");
  const bodies = all.flatMap(({ name, examples }) => examples.map((payload) => ({ event: name, body: JSON.stringify(payload) })));
  return Promise.all(bodies.map(async (one) => ({ ...one, signature: await sign(secret, one.body) })));
}

async function whole(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function json(request) {
  return JSON.parse((await whole(request)).toString() || "{}");
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { values } = parseArgs({
    options: { port: { type: "string", default: "9080" }, data: { type: "string" }, example: { type: "string" }, control: { type: "boolean", default: false } },
  });
  const root = values.data ?? mkdtempSync(join(tmpdir(), "github-demo-"));
  mkdirSync(root, { recursive: true });
  const standIn = new StandIn({ root, control: values.control });
  const url = await standIn.listen(Number(values.port));
  if (values.example) {
    standIn.person("ana");
    standIn.person("luis");
    standIn.organisation("ies-demo", ["ana", "luis"]);
    standIn.git.remove("ana/tiendavideojuegos");
    standIn.repository("ana/tiendavideojuegos");
    await standIn.commit("ana/tiendavideojuegos", "main", "Tienda de videojuegos", { folder: values.example });
  }
  console.log(`GitHub stand-in: ${url}`);
  const stop = () => standIn.close().then(() => process.exit(0));
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}
