// Shows /openapi.json as a page. All text goes in as text, never as markup.
"use strict";

const METHODS = ["get", "post", "patch", "put", "delete"];
let spec;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  for (const child of children.flat()) if (child !== null && child !== undefined) element.append(child);
  return element;
}

// Backticks, paragraphs and list lines are all the markup that descriptions use.
function prose(text) {
  const blocks = [];
  for (const paragraph of (text || "").split(/\n\n+/)) {
    const lines = paragraph.split("\n");
    const isList = lines.every((line) => line.startsWith("- "));
    if (isList) blocks.push(make("ul", {}, lines.map((line) => make("li", {}, inline(line.slice(2))))));
    else if (paragraph.trim()) blocks.push(make("p", {}, inline(paragraph)));
  }
  return blocks;
}

function inline(text) {
  return text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

function resolve(value) {
  if (!value || !value.$ref) return value || {};
  return value.$ref.split("/").slice(1).reduce((place, name) => place?.[name], spec) || {};
}

function nameOf(schema) {
  return schema && schema.$ref ? schema.$ref.split("/").pop() : null;
}

function typeOf(schema) {
  if (!schema) return "any";
  if (schema.$ref) return nameOf(schema);
  const some = schema.oneOf || schema.anyOf || schema.allOf;
  if (some) return some.map(typeOf).join(schema.allOf ? " & " : " | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const types = [].concat(schema.type || "any");
  const text = types.map((type) => (type === "array" ? `[${typeOf(schema.items)}]` : type)).join(" | ");
  return schema.format ? `${text} (${schema.format})` : text;
}

// Own properties and those of everything that the schema is made of.
function propertiesOf(schema) {
  const found = resolve(schema);
  const own = { properties: { ...(found.properties || {}) }, required: [...(found.required || [])] };
  for (const part of found.allOf || []) {
    const inner = propertiesOf(part);
    Object.assign(own.properties, inner.properties);
    own.required.push(...inner.required);
  }
  return own;
}

function rows(entries) {
  return make("table", {}, make("tbody", {}, entries.map(([name, type, required, description, more]) =>
    make("tr", {},
      make("td", {}, make("code", {}, name), required ? [" ", make("span", { class: "required" }, "required")] : null),
      make("td", {}, make("span", { class: "type" }, type), prose(description), more || null)))));
}

function schemaView(schema, depth, seen) {
  if (!schema || depth > 6) return null;
  const name = nameOf(schema);
  if (name && seen.includes(name)) return null;
  const inside = name ? [...seen, name] : seen;
  const found = resolve(schema);
  const variants = (found.oneOf || found.anyOf || []).filter((variant) => variant.type !== "null");
  if (variants.length === 1) return schemaView(variants[0], depth, inside);
  if (variants.length) {
    return make("div", { class: "nested" }, variants.map((variant) => {
      const view = schemaView(variant, depth + 1, inside);
      const kind = propertiesOf(variant).properties.type;
      const fixed = kind && (kind.const || (kind.enum || [])[0]);
      const label = make("code", {}, fixed || typeOf(variant));
      return view ? make("details", {}, make("summary", {}, label), prose(resolve(variant).description), view) : make("p", {}, label);
    }));
  }
  if (found.type === "array" || (found.items && !found.properties)) return schemaView(found.items, depth, inside);
  const { properties, required } = propertiesOf(schema);
  const names = Object.keys(properties);
  if (!names.length) return null;
  return rows(names.map((property) => {
    const value = properties[property];
    const view = schemaView(value, depth + 1, inside);
    const more = view ? make("details", {}, make("summary", {}, "fields"), make("div", { class: "nested" }, view)) : null;
    return [property, typeOf(value), required.includes(property), value.description || resolve(value).description, more];
  }));
}

function contentView(content) {
  return Object.entries(content || {}).map(([kind, media]) => {
    const example = media.example ?? resolve(media.schema).example;
    return make("div", {},
      make("p", { class: "type" }, `${kind}: ${typeOf(media.schema)}`),
      example === undefined ? null : make("pre", {}, JSON.stringify(example, null, 2)),
      schemaView(media.schema, 0, []));
  });
}

function curl(path, method, operation) {
  const lines = [`curl -sS${method === "get" ? "" : ` -X ${method.toUpperCase()}`} ${location.origin}${path}`];
  if (!operation.security) lines.push('-H "Authorization: Bearer $RUNYARD_KEY"');
  const body = operation.requestBody && Object.values(operation.requestBody.content)[0];
  if (body) {
    const example = body.example ?? resolve(body.schema).example ?? exampleOf(body.schema);
    lines.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(example)}'`);
  }
  return lines.join(" \\\n  ");
}

function exampleOf(schema) {
  const { properties, required } = propertiesOf(schema);
  const example = {};
  for (const name of required) {
    const value = resolve(properties[name]);
    example[name] = properties[name].example ?? value.example ?? (value.enum ? value.enum[0] : "…");
  }
  return example;
}

function operationView(path, method, operation) {
  const parameters = (operation.parameters || []).map(resolve).map((parameter) =>
    [parameter.name, `${typeOf(parameter.schema)}, ${parameter.in}`, parameter.required, parameter.description]);
  return make("section", { class: "operation", id: operation.operationId },
    make("h3", {}, operation.summary || operation.operationId),
    make("p", { class: "line" },
      make("span", { class: `method ${method}` }, method.toUpperCase()), make("code", {}, path),
      make("span", { class: "role" }, operation["x-role"] ? `${operation["x-role"]} and up` : "open")),
    prose(operation.description),
    make("pre", {}, curl(path, method, operation)),
    parameters.length ? [make("h4", {}, "Parameters"), rows(parameters)] : null,
    operation.requestBody ? [make("h4", {}, "Body"), contentView(operation.requestBody.content)] : null,
    make("h4", {}, "Answers"),
    Object.entries(operation.responses).map(([status, described]) => {
      const response = resolve(described);
      const details = make("details", {},
        make("summary", {}, make("span", { class: "status" }, status), " ", inline(response.description || "")));
      // Built when looked at: the page has thousands of fields.
      details.addEventListener("toggle", () => {
        if (details.open && details.children.length === 1) {
          const headers = Object.entries(response.headers || {}).map(([name, header]) =>
            [name, `${typeOf(header.schema)}, header`, false, header.description]);
          details.append(...contentView(response.content), ...(headers.length ? [rows(headers)] : []));
        }
      });
      return details;
    }));
}

function show() {
  const main = document.getElementById("main");
  const index = document.getElementById("index");
  document.getElementById("version").textContent = spec.info.version;
  const content = [make("h1", {}, `${spec.info.title} API`), ...prose(spec.info.description),
    make("p", {}, make("a", { href: "/openapi.json", download: "" }, "openapi.json"))];
  for (const tag of spec.tags || []) {
    const operations = [];
    for (const [path, item] of Object.entries(spec.paths)) {
      for (const method of METHODS) {
        const operation = item[method];
        if (operation && (operation.tags || []).includes(tag.name)) operations.push([path, method, operation]);
      }
    }
    if (!operations.length) continue;
    content.push(make("h2", { class: "tag" }, tag.name), ...prose(tag.description));
    index.append(make("h2", {}, tag.name));
    for (const [path, method, operation] of operations) {
      content.push(operationView(path, method, operation));
      index.append(make("a", { href: `#${operation.operationId}` }, operation.summary || operation.operationId));
    }
  }
  main.replaceChildren(...content);
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

document.getElementById("find").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const link of document.querySelectorAll("#index a")) {
    link.hidden = !`${link.textContent} ${link.hash}`.toLowerCase().includes(wanted);
  }
});

fetch("/openapi.json")
  .then((response) => response.json())
  .then((document_) => { spec = document_; show(); })
  .catch((error) => { document.getElementById("loading").textContent = `The document cannot be read: ${error}`; });
