"use strict";
// Three helps, none of them needed to read the page: a filter, the value of a bar, paths in the graph.
const find = (root, query) => [...root.querySelectorAll(query)];
const filter = document.getElementById("filter");
filter?.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/);
  for (const one of find(document, "[data-name]"))
    one.hidden = !words.every((word) => one.dataset.name.toLowerCase().includes(word));
});
for (const chart of find(document, "[data-values]")) {
  const values = chart.dataset.values.split("|"), said = chart.parentElement.querySelector("output");
  let at = values.length - 1;
  const say = (n) => { at = Math.max(0, Math.min(values.length - 1, n)); said.textContent = values[at]; };
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    say(Math.floor((event.clientX - box.left) / box.width * values.length));
  });
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -values.length, End: values.length }[event.key];
    if (step) { say(at + step); event.preventDefault(); }
  });
}
const edges = find(document, "[data-from]");
const boxes = find(document, "[data-node]");
const mark = (start) => {
  const reached = new Set([start]);
  for (const [from, to] of [["from", "to"], ["to", "from"]]) {
    const queue = [start], seen = new Set(queue);
    while (queue.length) {
      const node = queue.pop();
      for (const edge of edges) if (edge.dataset[from] === node) {
        edge.classList.add("on");
        if (!seen.has(edge.dataset[to])) { seen.add(edge.dataset[to]); queue.push(edge.dataset[to]); }
      }
    }
    seen.forEach((node) => reached.add(node));
  }
  for (const box of boxes) box.classList.toggle("on", reached.has(box.dataset.node));
};
const clear = () => [...edges, ...boxes].forEach((one) => one.classList.remove("on"));
for (const box of boxes) {
  for (const name of ["focusin", "pointerenter"]) box.addEventListener(name, () => { clear(); mark(box.dataset.node); });
  for (const name of ["focusout", "pointerleave"]) box.addEventListener(name, clear);
}
