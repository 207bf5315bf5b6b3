"use strict";
const make = (tag, properties = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node && name !== "list") node[name] = value; else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};

/* A name that may wrap after underscores, slashes and equals signs. */
const breakable = name => name.split(/(?<=[_/=])/).flatMap((part, i) => i ? [document.createElement("wbr"), part] : [part]);

/* A row of buttons, one of them pressed. */
const segments = (title, names, choose, at = 0) => {
  const buttons = names.map((name, i) => make("button", { type: "button" }, ...breakable(name)));
  const press = i => buttons.forEach((button, k) => button.setAttribute("aria-pressed", String(k === i)));
  buttons.forEach((button, i) => button.addEventListener("click", () => { press(i); choose(i); }));
  press(at);
  return make("fieldset", { className: "segments" }, make("legend", { textContent: title }), ...buttons);
};

/* Tables: clicking a heading sorts models and baselines separately, best values first. */
document.querySelectorAll("table.sortable").forEach(table => {
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => {
    const cell = row.cells[column];
    if (!cell || (row.cells.length < heads.length && column > 0)) return null;
    return column === 0 ? cell.textContent : cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const wantsHigh = head.textContent.includes("↑");
    const before = head.getAttribute("aria-sort");
    const ascending = before === "none" ? !wantsHigh : before === "descending";
    heads.forEach(each => each.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter(row => !row.classList.contains("group"));
      rows.sort((a, b) => {
        const x = key(a, column), y = key(b, column);
        if (x === null || y === null) return (x === null) - (y === null);
        const order = typeof x === "number" ? x - y : x.localeCompare(y);
        return ascending ? order : -order;
      });
      body.append(...rows);
    }
  }));
});

/* Protocols as tabs: arrows move, Home and End jump (ARIA authoring practices). */
document.querySelectorAll("[data-tabs]").forEach((group, index) => {
  const panels = [...group.children];
  if (panels.length < 2) return;
  group.classList.add("tabbed");
  const list = make("div", { className: "segments", role: "tablist", "aria-label": "Protocol" });
  const tabs = panels.map((panel, i) => {
    const tab = make("button", { type: "button", role: "tab", id: `tab-${index}-${i}`, "aria-controls": panel.id },
      panel.dataset.tab, " ", make("small", { textContent: panel.dataset.hint || "" }));
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    return tab;
  });
  const show = at => tabs.forEach((tab, i) => {
    tab.setAttribute("aria-selected", String(i === at));
    tab.tabIndex = i === at ? 0 : -1;
    panels[i].hidden = i !== at;
  });
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => show(i));
    tab.addEventListener("keydown", event => {
      const last = tabs.length - 1;
      const to = { ArrowRight: i === last ? 0 : i + 1, ArrowLeft: i ? i - 1 : last, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      show(to);
      tabs[to].focus();
    });
  });
  list.append(...tabs);
  group.before(list);
  show(0);
});

/* One slider from colour through truth and prediction to error; dragging the image moves it too. */
document.querySelectorAll("[data-explorer]").forEach((box, index) => {
  const frames = [...box.parentElement.querySelectorAll("details.frame")];
  const models = [...new Set([...box.parentElement.querySelectorAll("img[data-kind=prediction]")].map(i => i.dataset.model))];
  if (!frames.length || !models.length) return;
  const STOPS = ["Colour", "Truth", "Prediction", "Error"], STEP = 100;
  let frame = Math.max(0, frames.findIndex(each => each.open)), model = 0;
  const under = make("img", { alt: "" }), over = make("img", { alt: "", className: "over" });
  const rod = make("span", { className: "rod" });
  const left = make("span", { className: "tag left" }), right = make("span", { className: "tag right" });
  const stage = make("div", { className: "stage" }, under, over, rod, left, right);
  const id = `slide-${index}`;
  const input = make("input", { type: "range", id, min: 0, max: STEP * (STOPS.length - 1), step: 1, value: STEP * 1.5 });
  const stops = STOPS.map((name, i) => make("button", { type: "button", textContent: name, onclick: () => { input.value = STEP * i; draw(); } }));
  const facts = make("p", { className: "facts-of" });
  const image = i => {
    const kind = STOPS[i].toLowerCase();
    return frames[frame].querySelector(i < 2 ? `img[data-kind=${kind}]` : `img[data-kind=${kind}][data-model="${CSS.escape(models[model])}"]`);
  };
  const draw = () => {
    const value = Number(input.value), at = Math.min(Math.floor(value / STEP), STOPS.length - 2), share = value / STEP - at;
    const [a, b] = [image(at), image(at + 1)];
    for (const [node, source] of [[under, a], [over, b]]) {
      node.hidden = !source;
      if (source && node.src !== source.src) node.src = source.src;
    }
    if (a) stage.style.setProperty("--ratio", `${a.getAttribute("width")} / ${a.getAttribute("height")}`);
    stage.style.setProperty("--cut", `${100 * (1 - share)}%`);
    rod.hidden = share === 0 || share === 1;
    left.textContent = STOPS[at]; left.hidden = share === 1;
    right.textContent = STOPS[at + 1]; right.hidden = share === 0;
    const words = share === 0 ? STOPS[at] : share === 1 ? STOPS[at + 1] : `${STOPS[at]} and ${Math.round(100 * share)} % ${STOPS[at + 1]}`;
    input.setAttribute("aria-valuetext", words);
    stops.forEach((stop, i) => stop.classList.toggle("at", Math.round(value / STEP) === i));
    const shown = image(2), absent = shown ? "" : ": no prediction of this frame";
    facts.textContent = `${frames[frame].dataset.frame}, ${models[model]}${absent}${shown ? `: ${shown.nextElementSibling.querySelector("small")?.textContent || ""}` : ""}`;
  };
  input.addEventListener("input", draw);
  let held = null;
  stage.addEventListener("pointerdown", event => {
    held = Math.min(Math.floor(Number(input.value) / STEP), STOPS.length - 2);
    stage.setPointerCapture(event.pointerId);
    drag(event);
  });
  const drag = event => {
    if (held === null) return;
    const box = stage.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    input.value = STEP * held + Math.min(Math.max(Math.round(STEP * (1 - share)), 1), STEP - 1);
    draw();
  };
  stage.addEventListener("pointermove", drag);
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => { held = null; });
  const slide = make("div", { className: "slide" }, make("label", { htmlFor: id, textContent: "Colour to error" }), input,
    make("div", { className: "stops" }, ...stops));
  const controls = make("div", { className: "controls" }, slide,
    segments("Model", models, i => { model = i; draw(); }),
    segments("Frame", frames.map(each => each.dataset.frame), i => { frame = i; draw(); }, frame), facts);
  box.append(stage, controls);
  draw();
});

/* Highlights the link of the current section. */
if ("IntersectionObserver" in window) {
  const links = new Map([...document.querySelectorAll("nav a")].map(link => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver(entries => entries.forEach(entry => {
    if (!entry.isIntersecting) return;
    links.forEach(link => link.removeAttribute("aria-current"));
    const link = links.get(entry.target.id);
    link?.setAttribute("aria-current", "true");
  }), { rootMargin: "-20% 0px -70% 0px" });
  document.querySelectorAll("main > section").forEach(section => watch.observe(section));
}
