// The look of the stand-in's few pages.

/** Text as it may stand in a page. */
export function text(value) {
  return String(value).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

export function page(title, body) {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${text(title)}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}fieldset{margin:1rem 0}button{font:inherit;padding:.4rem 1rem}</style></head>
<body>${body}<hr><p><small>This is a stand-in for GitHub on this machine, for trying things out.</small></p></body></html>`;
}
