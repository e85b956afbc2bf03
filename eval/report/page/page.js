"use strict";
// Two things: the choice of light or dark, and browsing records. Texts are only ever put in as textContent.
(() => {
  const PER_PAGE = 10, root = document.documentElement;
  const keep = (name, value) => { try { return value === undefined ? localStorage.getItem(name) : localStorage.setItem(name, value); } catch { return null; } };
  const chosen = keep("kindling-theme");
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  function make(tag, kind, text, ...inside) {
    const made = document.createElement(tag);
    if (kind) made.className = kind;
    if (text) made.textContent = text;
    made.append(...inside);
    return made;
  }
  const words = (tag, kind, text) => { const made = make(tag, kind, text); made.dir = "auto"; return made; };
  const texts = value => typeof value === "string" ? [value] : Object.values(value || {}).flatMap(texts);
  const tags = given => (given || []).map(([text, tone]) => make("span", "tag " + tone, text));

  function points([side, aspects]) {
    const list = make("ul", "points");
    for (const [aspect, reasons] of aspects) {
      list.append(make("li", "", "", words("b", "", aspect), words("span", "", reasons.join(" · "))));
    }
    if (!aspects.length) list.append(make("li", "none", "none found"));
    return make("div", "side", "", make("h4", "", side), list);
  }

  function reading(one) {
    const box = make("article", "reading");
    box.append(make("header", "", "", words("span", "source", one.s), ...tags(one.g)));
    box.append(words("p", "text", one.t));
    if (one.c) box.append(make("ul", "checks", "", ...one.c.map(([asked, measured, met]) =>
      make("li", met ? "met" : "missed", "", make("span", "sign", met ? "met" : "missed"), words("span", "", asked + " → " + measured)))));
    if (one.w) box.append(make("dl", "said", "", ...one.w.map(([who, what]) => make("div", "", "", make("dt", "", who), words("dd", "", what)))));
    if (one.m) box.append(make("dl", "terms", "", ...one.m.map(([name, value]) => make("div", "", "", make("dt", "", name), make("dd", "", value)))));
    if (one.p) {
      const count = one.p.map(([side, aspects]) => aspects.reduce((sum, [, reasons]) => sum + reasons.length, 0) + " " + side).join(", ");
      box.append(make("details", "sides", "", make("summary", "", count), make("div", "both", "", ...one.p.map(points))));
    }
    return box;
  }

  function entry(one, open) {
    const box = make("details", "entry", "", make("summary", "", "", words("span", "query", one.h), make("span", "tags", "", ...tags(one.g))));
    const fill = () => {
      if (box.childElementCount > 1) return;
      const body = make("div", "body");
      if (one.n) body.append(words("p", "note", one.n));
      body.append(make("div", "readings", "", ...(one.x || []).map(reading)));
      box.append(body);
    };
    box.addEventListener("toggle", () => box.open && fill());
    if (open) { fill(); box.open = true; }
    return make("li", "", "", box);
  }

  function browse(place) {
    const { entries, facets } = JSON.parse(document.getElementById(place.dataset.records).textContent);
    const [form, found, list, pages] = ["form", ".found", ".entries", ".pages"].map(name => place.querySelector(name));
    const [back, where, on] = pages.children, { noun, nouns } = place.dataset;
    const all = entries.map(one => texts([one.h, one.n, one.x]).join("\n").toLowerCase());
    let shown = entries, page = 0;
    const last = () => Math.max(0, Math.ceil(shown.length / PER_PAGE) - 1);
    const count = number => number.toLocaleString("en");

    function draw() {
      const from = page * PER_PAGE, now = shown.slice(from, from + PER_PAGE);
      list.replaceChildren(...now.map((one, at) => entry(one, at === 0)));
      list.start = from + 1;
      found.textContent = !shown.length ? `no ${noun} is like that`
        : shown.length === 1 ? `1 ${noun}`
        : `${nouns} ${count(from + 1)} to ${count(from + now.length)} of ${count(shown.length)}`;
      where.textContent = `page ${count(page + 1)} of ${count(last() + 1)}`;
      back.disabled = page === 0;
      on.disabled = page === last();
      pages.hidden = last() === 0;
    }
    function look() {
      const wanted = form.search.value.trim().toLowerCase();
      const values = facets.map((_, at) => form["facet-" + at]?.value);
      shown = entries.filter((one, at) => values.every((value, facet) => !value || one.f[facet] === value) && all[at].includes(wanted));
      page = 0;
      draw();
    }
    form.addEventListener("submit", event => event.preventDefault());
    form.addEventListener("input", look);
    pages.addEventListener("click", event => {
      const go = Number(event.target.dataset && event.target.dataset.go);
      if (!go) return;
      page = Math.min(last(), Math.max(0, page + go));
      draw();
      found.scrollIntoView({ block: "start" });
    });
    form.hidden = false;
    look();
  }

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme"), system = matchMedia("(prefers-color-scheme: dark)");
    const dark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
    const name = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", button.textContent + " colours"); };
    button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; keep("kindling-theme", root.dataset.theme); name(); });
    system.addEventListener("change", name);
    button.hidden = false;
    name();
    const contents = document.querySelector(".contents details"), wide = matchMedia("(min-width: 72rem)");
    const fold = () => { contents.open = wide.matches; };
    wide.addEventListener("change", fold);
    fold();
    document.querySelectorAll(".records").forEach(browse);
    // what is folded away is part of a printed page
    addEventListener("beforeprint", () => document.querySelectorAll("details.folded").forEach(one => { one.open = true; }));
  });
})();
