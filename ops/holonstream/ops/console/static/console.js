// What htmx does not do: the theme's button, the key that searches, the list that stays short, the graph that unfolds.
"use strict";

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* storage is off */ }
  document.dispatchEvent(new Event("theme"));
});

document.addEventListener("keydown", (press) => {
  if (press.key !== "/" || press.ctrlKey || press.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(press.target.tagName)) return;
  press.preventDefault();
  const search = document.getElementById("search");
  if (search) search.focus(); else location.href = "/explore";
});

// What was not answered, by the part of the page that asked, until it is answered again.
const unanswered = new Map();
function refused(part, why) {
  if (why) unanswered.set(part, why); else unanswered.delete(part);
  const line = document.getElementById("refused");
  line.textContent = [...new Set(unanswered.values())].join(" ");
  line.hidden = !unanswered.size;
}

const SILENT = "The console does not answer; what is shown may be old. It is asked again by itself on live pages.";
for (const [part, lost, back] of [["page", "htmx:sendError", "htmx:afterOnLoad"], ["stream", "htmx:sseError", "htmx:sseOpen"]]) {
  document.addEventListener(lost, () => refused(part, SILENT));
  document.addEventListener(back, () => refused(part, ""));
}

// A stream that was interrupted begins again where its page did, and brings rows again that are there.
document.addEventListener("htmx:sseBeforeMessage", (event) => {
  const row = /^\s*<tr id="([^"]+)"/.exec(event.detail.data);
  if (row && document.getElementById(row[1])) event.preventDefault();
});

document.addEventListener("htmx:sseMessage", () => {
  const rows = document.getElementById("rows");
  while (rows && rows.children.length > 300) rows.firstElementChild.remove();
});

const ODD = /[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const shown = (text) => String(text).replace(ODD, (odd) => "\\u" + odd.charCodeAt(0).toString(16).padStart(4, "0"));
const short = (text) => (text.length > 26 ? text.slice(0, 25) + "…" : text);
const MOST = 400;  // nodes of a picture

function color(name) {
  const probe = document.body.appendChild(document.createElement("span"));
  probe.style.color = `var(${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function looks() {
  return [
    { selector: "node", style: { label: "data(label)", "font-size": 10, color: color("--ink"), width: 18, height: 18,
      "background-color": color("--node"), "text-valign": "bottom", "text-margin-y": 3 } },
    { selector: "node.open", style: { "background-color": color("--accent"), width: 24, height: 24 } },
    { selector: "edge", style: { width: 1, "line-color": color("--node"), "target-arrow-color": color("--node"),
      "target-arrow-shape": "triangle", "curve-style": "bezier", label: "data(label)", "font-size": 7,
      color: color("--quiet"), "text-rotation": "autorotate" } },
  ];
}

function unfoldingGraph(box, filter) {
  const graph = cytoscape({ container: box, userZoomingEnabled: false, maxZoom: 1.6, style: looks() });
  document.addEventListener("theme", () => graph.style(looks()));

  async function read(path, id) {
    const chosen = new FormData(filter);
    const asked = new URLSearchParams({ id, limit: 60 });
    if (chosen.get("type")) asked.set("type", chosen.get("type"));
    if (chosen.get("at")) asked.set("effectiveAt", chosen.get("at"));
    asked.set("includeEnded", String(Boolean(chosen.get("ended") || chosen.get("at"))));
    try {
      const answer = await fetch(`/api/v1/holon/${path}?${asked}`);
      const found = await answer.json();
      if (answer.ok) return found.items;
      refused("graph", `The neighbours of ${shown(id)}: ${shown(found.detail)}`);
    } catch {
      refused("graph", SILENT);
    }
    return null;
  }

  function node(id, holon) {
    const name = holon && typeof holon.properties.name === "string" ? holon.properties.name : id;
    const known = graph.getElementById(id);
    const label = short(shown(name));
    if (known.nonempty()) { if (holon) known.data("label", label); return; }
    graph.add({ data: { id, label } });
  }

  let begun = 0;

  async function unfold(id) {
    if (graph.nodes().length >= MOST) return;
    const beginning = begun;
    node(id);
    const [relationships, holons] = await Promise.all([read("relationships", id), read("neighbours", id)]);
    if (beginning !== begun) return; // the filter was changed meanwhile
    if (!relationships || !holons) return;
    refused("graph", "");
    for (const r of relationships) { node(r.source); node(r.target); }
    for (const holon of holons) if (graph.getElementById(holon.id).nonempty()) node(holon.id, holon);
    for (const r of relationships) {
      const edge = "relationship/" + r.id;
      if (graph.getElementById(edge).empty()) graph.add({ data: { id: edge, source: r.source, target: r.target, label: shown(r.type) } });
    }
    graph.getElementById(id).addClass("open");
    graph.layout({ name: "cose", animate: false, randomize: false, nodeRepulsion: 9000, idealEdgeLength: 70 }).run();
    box.dataset.nodes = graph.nodes().length;
    const chosen = document.getElementById("chosen");
    chosen.textContent = shown(id);
    chosen.href = "/holon?" + new URLSearchParams({ id });
  }

  graph.on("tap", "node", (tap) => unfold(tap.target.id()));
  const begin = () => { begun += 1; graph.elements().remove(); return unfold(decodeURIComponent(box.dataset.start)); };
  filter.addEventListener("change", begin);
  box.graph = graph;
  begin();
}

const box = document.getElementById("graph");
if (box) unfoldingGraph(box, document.getElementById("neighbour-filter"));
