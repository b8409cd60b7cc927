// Cuts the operations Siesta uses out of GitHub's own description of its API (npm @octokit/openapi)
// into operations.json: node cut.mjs FOLDER-OF-THE-PACKAGE

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const USED = `
GET /user
GET /user/emails
GET /user/orgs
GET /user/repos
GET /user/installations
GET /user/installations/{installation_id}/repositories
GET /orgs/{org}/repos
GET /search/repositories
GET /repos/{owner}/{repo}
GET /repos/{owner}/{repo}/branches
GET /repos/{owner}/{repo}/branches/{branch}
GET /repos/{owner}/{repo}/commits/{ref}/status
GET /repos/{owner}/{repo}/commits/{ref}/check-runs
GET /repos/{owner}/{repo}/tarball/{ref}
GET /repos/{owner}/{repo}/git/trees/{tree_sha}
GET /repos/{owner}/{repo}/contents/{path}
POST /repos/{owner}/{repo}/hooks
DELETE /repos/{owner}/{repo}/hooks/{hook_id}
POST /repos/{owner}/{repo}/deployments
POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses
POST /repos/{owner}/{repo}/statuses/{sha}
DELETE /applications/{client_id}/grant
`.trim().split("\n");

const folder = process.argv[2];
const text = readFileSync(join(folder, "generated/api.github.com.json"), "utf8");
const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
const api = JSON.parse(text);
const definitions = {};

const at = (ref) => ref.slice(2).split("/").reduce((node, key) => node[key], api);
const resolved = (node) => (node?.$ref ? at(node.$ref) : node);

/** An OpenAPI 3.0 schema as plain JSON Schema; what it refers to lands in `definitions`. */
function schema(node) {
  if (Array.isArray(node)) return node.map(schema);
  if (node === null || typeof node !== "object") return node;
  if (node.$ref) {
    const name = node.$ref.split("/").pop();
    if (!(name in definitions)) {
      definitions[name] = {};
      definitions[name] = schema(at(node.$ref));
    }
    return { $ref: `#/definitions/${name}` };
  }
  const out = {};
  for (const [key, value] of Object.entries(node)) {
    if (["description", "example", "examples", "externalDocs", "nullable", "title", "deprecated", "xml"].includes(key) || key.startsWith("x-")) {
      if (key !== "title" && typeof value === "object" && !Array.isArray(value) && value?.type) out[key] = schema(value);
      continue;
    }
    out[key] = key === "properties" ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, schema(one)])) : schema(value);
  }
  return node.nullable ? { anyOf: [{ type: "null" }, out] } : out;
}

const json = (content) => content?.["application/json"]?.schema;
const operations = USED.map((line) => {
  const [method, path] = line.split(" ");
  const operation = api.paths[path][method.toLowerCase()];
  const parameters = (operation.parameters ?? []).map(resolved);
  const body = resolved(operation.requestBody);
  return {
    method,
    path,
    query: parameters.filter((one) => one.in === "query").map((one) => ({ name: one.name, required: one.required ?? false, schema: schema(one.schema) })),
    body: body ? { required: body.required ?? false, schema: schema(json(body.content) ?? {}) } : undefined,
    answers: Object.fromEntries(Object.entries(operation.responses).map(([status, one]) => [status, schema(json(resolved(one).content) ?? {})])),
  };
});

const target = new URL("operations.json", import.meta.url);
writeFileSync(target, JSON.stringify({ operations, definitions }));
const hash = createHash("sha256").update(text).digest("hex");
writeFileSync(
  new URL("vendor.toml", import.meta.url),
  `# operations.json is a part of this package, cut out by cut.mjs.\npackage = "@octokit/openapi"\nversion = "${version}"\nlicense = "MIT"\nsource = "generated/api.github.com.json"\nsource_sha256 = "${hash}"\n`,
);
