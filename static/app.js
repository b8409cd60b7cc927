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

/** Buttons that copy the text beside them. */
function offerCopies(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => navigator.clipboard?.writeText(button.previousElementSibling.textContent));
  }
}

/** Follows a stream of lines into its list, at the end as long as the reader is there. */
function follow(list) {
  const panel = list.parentElement;
  const card = panel.closest(".card");
  const note = card?.querySelector("[data-tail-note]");
  const pause = card?.querySelector("[data-tail-pause]");
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
  jump?.querySelector("button").addEventListener("click", toEnd);
  panel.addEventListener("scroll", () => jump && atEnd() && (jump.hidden = true), { passive: true });
  addEventListener("pagehide", () => source.close());
}

function enhance(root) {
  localiseTimes(root);
  offerCopies(root);
}

enhance(document);
document.querySelectorAll("[data-tail]").forEach(follow);
document.addEventListener("htmx:after:swap", () => enhance(document));

for (const event of ["click", "keydown"]) {
  document.addEventListener(event, ({ key, target }) => {
    if (event === "keydown" && key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (event === "keydown" || !menu.contains(target)) menu.open = false;
    }
  });
}
