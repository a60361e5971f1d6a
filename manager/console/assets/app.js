// What a page can't do by itself. Every page works without this too, but for
// what updates.
"use strict";

// Partial asks for a URL's part and puts it in place, keeping the focus.
async function partial(url, into, signal) {
  const answer = await fetch(url, {headers: {Part: "1"}, credentials: "same-origin", signal});
  if (answer.redirected || answer.status === 401) {
    location.reload();
    return;
  }
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  const held = document.activeElement;
  const mark = held && into.contains(held) ? markOf(held) : "";
  const fresh = new DOMParser().parseFromString(text, "text/html");
  into.replaceChildren(...fresh.body.childNodes);
  if (mark) [...into.querySelectorAll("a, button, input, select")].find((e) => markOf(e) === mark)?.focus({preventScroll: true});
}

// markOf tells an element again after its like has replaced it.
const markOf = (e) => [e.tagName, e.getAttribute("href"), e.name, e.form?.getAttribute("action"), e.getAttribute("aria-label")].join("\n");

// Parts that update: [data-poll] asks for its page again every data-every ms
// while somebody looks, until a part says data-done.
for (const box of document.querySelectorAll("[data-poll]")) {
  const every = Number(box.dataset.every) || 2000;
  const late = document.createElement("p");
  late.className = "warn";
  late.setAttribute("role", "status");
  late.hidden = true;
  late.textContent = "Not up to date: the manager does not answer.";
  box.before(late);
  const turn = async () => {
    if (!document.hidden && !getSelection()?.toString()) {
      try {
        await partial(location.href, box, AbortSignal.timeout(10000));
        late.hidden = true;
      } catch {
        late.hidden = false;
      }
    }
    if (!box.querySelector("[data-done]")) setTimeout(turn, every);
  };
  if (!box.querySelector("[data-done]")) setTimeout(turn, every);
}

// Lists that follow what is typed: form[data-search=ID of the list].
for (const form of document.querySelectorAll("form[data-search]")) {
  const into = document.getElementById(form.dataset.search);
  let wait = 0, asking = null;
  form.addEventListener("input", () => {
    clearTimeout(wait);
    wait = setTimeout(async () => {
      asking?.abort();
      asking = new AbortController();
      const filled = [...new FormData(form)].filter(([, value]) => value !== "");
      const url = location.pathname + "?" + new URLSearchParams(filled);
      try {
        await partial(url, into, asking.signal);
        history.replaceState(null, "", url);
      } catch (problem) {
        if (problem.name !== "AbortError") form.submit();
      }
    }, 250);
  });
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const said = button.textContent;
  try {
    await copy(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Press Ctrl+C";
    getSelection().selectAllChildren(button.previousElementSibling);
  }
  setTimeout(() => { button.textContent = said; }, 1500);
});

// copy works over plain HTTP too, where there is no clipboard API.
async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const ok = document.execCommand("copy");
  area.remove();
  if (!ok) throw new Error("no clipboard");
}

document.addEventListener("submit", (event) => {
  const ask = event.target.dataset.confirm;
  if (ask && !confirm(ask)) event.preventDefault();
});
