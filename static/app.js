// What the pages gain from script: live logs, copy buttons, times in the reader's zone, menus that
// close. Every page works without it.

const KEPT_LINES = 5000;

/** Shows UTC times in the reader's own zone. */
function localiseTimes(root) {
  for (const time of root.querySelectorAll("time[data-clock]")) {
    const at = new Date(time.dateTime);
    const seconds = time.dataset.clock === "s" ? "2-digit" : undefined;
    time.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: seconds, hourCycle: "h23" });
    time.removeAttribute("data-clock");
  }
}

/** Brings the tab of this page into view where not all fit. */
function showTab() {
  for (const tab of document.querySelectorAll(".tabs > [aria-current]")) {
    const [row, own] = [tab.parentElement.getBoundingClientRect(), tab.getBoundingClientRect()];
    tab.parentElement.scrollLeft += own.left + own.width / 2 - (row.left + row.width / 2);
  }
}

/** Buttons that copy the text beside them. */
function offerCopies(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => navigator.clipboard?.writeText(button.previousElementSibling.textContent));
  }
}

/** Beside every password a button that shows what is typed. */
function offerEyes(root) {
  for (const input of root.querySelectorAll("input[type=password]:not([data-eye])")) {
    input.dataset.eye = "";
    const row = Object.assign(document.createElement("span"), { className: "input-row eyed" });
    const button = Object.assign(document.createElement("button"), { type: "button", className: "btn" });
    button.setAttribute("aria-label", document.body.dataset.showPassword);
    button.setAttribute("aria-pressed", "false");
    button.innerHTML = '<svg class="icon" aria-hidden="true"><use href="#i-eye"/></svg>';
    button.addEventListener("click", () => {
      const shown = input.type === "text";
      input.type = shown ? "password" : "text";
      button.setAttribute("aria-pressed", String(!shown));
    });
    input.replaceWith(row);
    row.append(input, button);
  }
}

/** Follows a stream of lines into its list, at the end as long as the reader is there. */
function follow(list) {
  const panel = list.parentElement;
  const card = panel.closest(".card");
  const note = card?.querySelector("[data-tail-note]");
  const pause = card?.querySelector("[data-tail-pause]");
  const wrap = card?.querySelector("[data-tail-wrap]");
  const jump = card?.querySelector("[data-tail-jump]");
  const address = new URL(list.dataset.tail, location.href);
  let last = list.dataset.last;
  let source;
  const say = (state) => note?.setAttribute("data-state", state);
  const atEnd = () => panel.scrollHeight - panel.scrollTop - panel.clientHeight < 40;
  const toEnd = () => {
    panel.scrollTop = panel.scrollHeight;
    if (jump) jump.hidden = true;
  };

  const append = (html) => {
    const stay = !atEnd();
    list.querySelector(":scope > .empty")?.remove();
    list.insertAdjacentHTML("beforeend", html);
    while (list.childElementCount > KEPT_LINES) list.firstElementChild.remove();
    localiseTimes(list);
    if (!stay) toEnd();
    else if (jump) jump.hidden = false;
  };

  // Opened again behind the last line seen: what came during a pause is delivered then.
  const open = () => {
    if (last) address.searchParams.set("after", last);
    source = new EventSource(address);
    source.addEventListener("open", () => say("live"));
    source.addEventListener("error", () => say("lost"));
    source.addEventListener("message", (event) => {
      last = event.lastEventId || last;
      append(event.data);
    });
    source.addEventListener("dropped", (event) => {
      const item = document.createElement("li");
      item.className = "warn";
      item.textContent = event.data;
      append(item.outerHTML);
    });
    source.addEventListener("end", () => {
      source.close();
      note?.removeAttribute("data-state");
      if (list.dataset.tailEnd) document.body.dispatchEvent(new CustomEvent(list.dataset.tailEnd));
    });
  };

  toEnd();
  open();
  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      const paused = pause.getAttribute("aria-pressed") !== "true";
      pause.setAttribute("aria-pressed", String(paused));
      if (paused) {
        source.close();
        note?.removeAttribute("data-state");
      } else open();
    });
  }
  if (wrap) {
    wrap.hidden = false;
    wrap.addEventListener("click", () => wrap.setAttribute("aria-pressed", String(!panel.classList.toggle("flat"))));
  }
  jump?.querySelector("button").addEventListener("click", toEnd);
  panel.addEventListener("scroll", () => jump && atEnd() && (jump.hidden = true), { passive: true });
  addEventListener("pagehide", () => source.close());
}

/** One cursor through all charts; the pointer or the arrow keys move it, the note says its numbers. */
function chartCursor(charts) {
  const note = document.querySelector("[data-cursor-note]");
  const points = Number(charts.dataset.points);
  const lines = charts.querySelectorAll("[data-cursor]");
  const heads = [...document.querySelectorAll("#table thead th")].map((cell) => cell.textContent);
  let here = points;
  const show = (point) => {
    here = Math.max(0, Math.min(points - 1, point));
    for (const line of lines) {
      for (const end of ["x1", "x2"]) line.setAttribute(end, `${((here + 0.5) / points) * 100}%`);
      line.setAttribute("visibility", "visible");
    }
    const cells = document.querySelector(`#table tr[data-point="${here}"]`)?.cells;
    const said = cells && [...cells].slice(1).map((cell, index) => `${heads[index + 1]} ${cell.textContent}`);
    const at = cells && new Date(cells[0].firstElementChild.dateTime);
    note.textContent = cells ? `${at.toLocaleString(document.documentElement.lang, { dateStyle: "short", timeStyle: "short" })} · ${said[0]} · ${said.slice(5).join(" · ")}` : charts.dataset.nothing;
  };
  charts.addEventListener("pointermove", ({ clientX }) => {
    const { left, width } = lines[0].ownerSVGElement.getBoundingClientRect();
    show(Math.floor(((clientX - left) / width) * points));
  });
  charts.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: points - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(to);
  });
}

/** Ctrl or Cmd and K: goes to an app or a page by a few letters of its name. */
function palette(dialog) {
  const input = dialog.querySelector("input");
  const list = dialog.querySelector("ul");
  const opener = document.querySelector("[data-jump]");
  let places, chosen;

  const link = (word, href) => ({ word, href });
  const load = async () => {
    const page = new DOMParser().parseFromString(await (await fetch("/apps")).text(), "text/html");
    const apps = [...page.querySelectorAll(".applist a.name")].map((a) => link(a.textContent.trim(), a.getAttribute("href")));
    const here = document.querySelector(".title h1")?.textContent;
    const tabs = [...document.querySelectorAll(".tabs a")].map((a) => link(`${here} / ${a.textContent.trim()}`, a.getAttribute("href")));
    const { apps: all, new: create, account, quota, bin, host } = list.dataset;
    const pages = [[all, "/apps"], [create, "/new"], [account, "/account"], [quota, "/quota"], [bin, "/bin"], [host, "/host"]];
    return [...tabs, ...apps, ...pages.filter(([word]) => word).map(([word, href]) => link(word, href))];
  };
  const choose = (index) => {
    const items = [...list.children];
    chosen = items.length ? (index + items.length) % items.length : -1;
    items.forEach((item, at) => item.setAttribute("aria-selected", String(at === chosen)));
    items[chosen]?.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", items[chosen]?.id ?? "");
  };
  const show = () => {
    const letters = input.value.trim().toLowerCase().split(/\s+/);
    const found = places.filter(({ word }) => letters.every((part) => word.toLowerCase().includes(part))).slice(0, 12);
    list.replaceChildren(
      ...found.map(({ word, href }, at) => {
        const item = document.createElement("li");
        Object.assign(item, { id: `palette-${at}`, textContent: word });
        item.setAttribute("role", "option");
        item.addEventListener("click", () => location.assign(href));
        item.dataset.href = href;
        return item;
      }),
    );
    choose(0);
  };
  const open = async () => {
    places ??= await load();
    input.value = "";
    dialog.showModal();
    show();
  };

  opener.hidden = false;
  opener.addEventListener("click", open);
  input.addEventListener("input", show);
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      if (!dialog.open) open();
    } else if (dialog.open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
    } else if (dialog.open && event.key === "Enter" && list.children[chosen]) {
      event.preventDefault();
      location.assign(list.children[chosen].dataset.href);
    }
  });
}

function enhance(root) {
  localiseTimes(root);
  offerCopies(root);
  offerEyes(root);
}

enhance(document);
showTab();
addEventListener("resize", showTab);
document.querySelectorAll("[data-tail]").forEach(follow);
document.querySelectorAll(".charts").forEach(chartCursor);
document.querySelectorAll("#palette").forEach(palette);
document.addEventListener("htmx:after:swap", () => enhance(document));

for (const event of ["click", "keydown"]) {
  document.addEventListener(event, ({ key, target }) => {
    if (event === "keydown" && key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (event === "keydown" || !menu.contains(target)) menu.open = false;
    }
  });
}
