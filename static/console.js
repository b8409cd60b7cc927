// The run console: xterm over a websocket. Without this script the form runs one command.

const root = document.querySelector("[data-console]");
const form = root.querySelector("form");
const screen = root.querySelector("[data-console-screen]");
const state = root.querySelector("[data-console-state]");
const closer = root.querySelector("[data-console-close]");
const COME_BACK = 30_000;
const encoder = new TextEncoder();

// xterm makes style elements; the policy of the page lets in those that carry its nonce.
const create = document.createElement.bind(document);
document.createElement = (tag, options) => {
  const element = create(tag, options);
  if (tag === "style") element.nonce = root.dataset.nonce;
  return element;
};

const say = (text) => (state.textContent = text);
const send = (socket, message) => socket?.readyState === WebSocket.OPEN && socket.send(message);

/** `5 h 12 m`, `59 s`. */
function left(until) {
  const seconds = Math.max(0, Math.round((until - Date.now()) / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} m` : `${Math.floor(minutes / 60)} h ${minutes % 60} m`;
}

async function begin(command) {
  const [{ Terminal }, { FitAddon }] = await Promise.all([import(root.dataset.xterm), import(root.dataset.fit)]);
  screen.replaceChildren();
  screen.hidden = false;
  const style = getComputedStyle(screen);
  const terminal = new Terminal({
    cursorBlink: true,
    fontFamily: style.fontFamily,
    fontSize: 13,
    screenReaderMode: true,
    theme: { background: style.backgroundColor, foreground: style.color },
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(screen);
  fit.fit();
  terminal.focus();
  say(root.dataset.starting);
  const body = new URLSearchParams({ command, columns: terminal.cols, rows: terminal.rows });
  const answer = await fetch(`${root.dataset.console}/open`, { method: "POST", body });
  const opened = await answer.json().catch(() => ({}));
  if (!opened.ticket) {
    say(opened.error ?? root.dataset.failed);
    form.querySelector("button").disabled = false;
    return;
  }
  run(terminal, fit, opened.ticket);
}

/** Keeps a socket open from the ticket to the exit code. */
function run(terminal, fit, ticket) {
  let socket, session, name, endsAt, over, lostAt, again;
  const size = () => ({ columns: terminal.cols, rows: terminal.rows });
  const tick = setInterval(() => session && !lostAt && say(`${name} · ${root.dataset.connected} · ${left(endsAt)}`), 1000);

  const finish = (text) => {
    over = true;
    clearInterval(tick);
    clearTimeout(again);
    watcher.disconnect();
    removeEventListener("pagehide", leave);
    terminal.options.disableStdin = true;
    terminal.options.cursorBlink = false;
    closer.hidden = true;
    form.querySelector("button").disabled = false;
    say(text);
  };
  const leave = () => send(socket, JSON.stringify({ close: true }));

  const connect = (secret) => {
    const address = new URL(`${root.dataset.console}/socket`, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = new URLSearchParams({ ...secret, ...size() });
    socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      if (typeof data !== "string") return terminal.write(new Uint8Array(data));
      const word = JSON.parse(data);
      if ("exit" in word) return finish(word.exit === null ? root.dataset.gone : `${root.dataset.ended} ${word.exit}`);
      ({ session, name } = word);
      endsAt = word.ends_at;
      lostAt = undefined;
      say(`${name} · ${root.dataset.connected} · ${left(endsAt)}`);
      send(socket, JSON.stringify(size()));
    });
    socket.addEventListener("close", () => {
      if (over) return;
      lostAt ??= Date.now();
      if (!session || Date.now() - lostAt > COME_BACK) return finish(session ? root.dataset.gone : root.dataset.failed);
      say(root.dataset.lost);
      again = setTimeout(() => connect({ session }), 500);
    });
  };

  terminal.onData((text) => send(socket, encoder.encode(text)));
  terminal.onBinary((text) => send(socket, Uint8Array.from(text, (char) => char.charCodeAt(0))));
  terminal.onResize(() => send(socket, JSON.stringify(size())));
  const watcher = new ResizeObserver(() => fit.fit());
  watcher.observe(screen);
  addEventListener("pagehide", leave);
  closer.hidden = false;
  closer.onclick = () => {
    leave();
    finish(root.dataset.gone);
    socket.close();
  };
  connect({ ticket });
}

const KEPT = "siesta-commands";
const KEPT_COMMANDS = 8;

/** The commands that were run in this browser, newest first. */
function lastCommands() {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "[]").filter((each) => typeof each === "string");
  } catch {
    return [];
  }
}

/** Offers what was run before, above what is always offered. */
function offerCommands() {
  const list = form.querySelector("datalist");
  list.querySelectorAll("[data-kept]").forEach((option) => option.remove());
  const always = [...list.options].map((option) => option.value);
  const options = lastCommands().filter((command) => !always.includes(command));
  list.prepend(...options.map((value) => Object.assign(document.createElement("option"), { value })));
  for (const option of [...list.options].slice(0, options.length)) option.dataset.kept = "";
}

function keepCommand(command) {
  const all = [command, ...lastCommands().filter((each) => each !== command)];
  try {
    localStorage.setItem(KEPT, JSON.stringify(all.slice(0, KEPT_COMMANDS)));
  } catch {
    // A browser that keeps nothing offers nothing.
  }
  offerCommands();
}

offerCommands();
form.addEventListener("submit", (event) => {
  event.preventDefault();
  keepCommand(form.elements.command.value.trim());
  form.querySelector("button").disabled = true;
  begin(form.elements.command.value.trim()).catch((error) => {
    console.error(error);
    say(root.dataset.failed);
    form.querySelector("button").disabled = false;
  });
});
