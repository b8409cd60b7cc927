// GitHub's description of its API: which operation a request is, whether request and answer fit it,
// and answers with everything it requires.

import { readFileSync } from "node:fs";
import Ajv from "ajv";
import formats from "ajv-formats";

const { operations, definitions } = JSON.parse(readFileSync(new URL("operations.json", import.meta.url), "utf8"));
const ajv = new Ajv({ strict: false, allErrors: true, coerceTypes: false });
formats(ajv);
const loose = new Ajv({ strict: false, allErrors: true, coerceTypes: true });
formats(loose);

const compiled = new Map();
function check(schema, value, how = ajv) {
  let validate = compiled.get(schema);
  if (!validate) compiled.set(schema, (validate = how.compile({ ...schema, definitions })));
  return validate(value) ? [] : validate.errors.map((error) => `${error.instancePath || "/"} ${error.message}`);
}

const patterns = operations.map((operation) => {
  const names = [];
  const source = operation.path.replace(/\{(\w+)\}/g, (_, name) => {
    names.push(name);
    // A path of a file and a branch may hold slashes; a branch's are encoded.
    return name === "path" ? "(.+)" : "([^/]+)";
  });
  return { operation, names, pattern: new RegExp(`^${source}$`) };
});

/** All operations that Siesta uses. */
export const names = operations.map(({ method, path }) => `${method} ${path}`);

/** The operation of a request, with the values in its path; undefined when GitHub has none such that we use. */
export function find(method, path) {
  for (const { operation, names, pattern } of patterns) {
    const found = operation.method === method && pattern.exec(path);
    if (found) return { operation, path: Object.fromEntries(names.map((name, at) => [name, decodeURIComponent(found[at + 1])])) };
  }
}

/** What is wrong with a request. */
export function faultsOfRequest(operation, query, body) {
  const faults = [];
  for (const [name, value] of query) {
    const known = operation.query.find((one) => one.name === name);
    if (!known) faults.push(`query ${name} is not known`);
    else faults.push(...check({ type: "object", properties: { value: known.schema } }, { value }, loose).map((text) => `query ${name}: ${text}`));
  }
  for (const one of operation.query) if (one.required && !query.has(one.name)) faults.push(`query ${one.name} is missing`);
  if (operation.body) {
    if (body === undefined) {
      if (operation.body.required) faults.push("there is no body");
    } else {
      faults.push(...check(operation.body.schema, body).map((text) => `body ${text}`));
      const known = operation.body.schema.properties;
      if (known) for (const key of Object.keys(body)) if (!(key in known)) faults.push(`body ${key} is not known`);
    }
  } else if (body !== undefined) faults.push("a body that nobody asked for");
  return faults;
}

/** What is wrong with an answer. */
export function faultsOfAnswer(operation, status, body) {
  const schema = operation.answers[status];
  if (!schema) return status >= 400 ? [] : [`status ${status} is not one GitHub gives here`];
  return body === undefined ? [] : check(schema, body);
}

const resolved = (schema) => (schema.$ref ? definitions[schema.$ref.split("/").pop()] : schema);

/** The smallest value a schema allows. */
function sample(given, depth = 0) {
  const schema = resolved(given);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((one) => sample(one, depth)));
  const choice = schema.anyOf ?? schema.oneOf;
  if (choice) return choice.some((one) => one.type === "null") ? null : sample(choice[0], depth);
  if (schema.enum) return schema.enum[0];
  const type = Array.isArray(schema.type) ? (schema.type.includes("null") ? "null" : schema.type[0]) : schema.type;
  switch (type ?? (schema.properties ? "object" : "string")) {
    case "null":
      return null;
    case "object":
      return Object.fromEntries((schema.required ?? []).map((name) => [name, depth > 6 ? null : sample(schema.properties?.[name] ?? {}, depth + 1)]));
    case "array":
      return Array.from({ length: schema.minItems ?? 0 }, () => sample(schema.items ?? {}, depth + 1));
    case "integer":
    case "number":
      return schema.minimum ?? 0;
    case "boolean":
      return false;
    default:
      return { "date-time": "2026-01-01T00:00:00Z", uri: "https://example.org/", email: "nobody@example.org" }[schema.format] ?? "";
  }
}

/** A schema without its alternatives: the first that is not null, and all of `allOf` together. */
function plain(given) {
  const schema = resolved(given ?? {});
  const choice = schema.anyOf ?? schema.oneOf;
  if (choice) return plain(choice.find((one) => one.type !== "null"));
  if (!schema.allOf) return schema;
  const parts = schema.allOf.map(plain);
  return { ...schema, type: "object", required: parts.flatMap((one) => one.required ?? []), properties: Object.assign({}, ...parts.map((one) => one.properties)) };
}

/** Facts with everything beside them that a schema requires. */
function fill(given, facts) {
  if (facts === null || typeof facts !== "object") return facts;
  const schema = plain(given);
  if (Array.isArray(facts)) return facts.map((one) => fill(schema.items, one));
  const own = Object.entries(facts).map(([key, value]) => [key, fill(schema.properties?.[key], value)]);
  return { ...sample({ ...schema, allOf: undefined }), ...Object.fromEntries(own) };
}

/** An answer: our own facts, and what the description requires beside them. */
export function answer(operation, status, facts) {
  return facts === undefined ? undefined : fill(operation.answers[status], facts);
}
