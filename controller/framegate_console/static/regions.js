// Regions drawn over a picture, by mouse, finger or keyboard. They are fractions of its width and height, as the command line
// has them, and stand in a field of the form; whoever receives it checks them again.
"use strict";
(() => {
  const editor = document.querySelector(".editor");
  if (!editor) return;
  const SVG = "http://www.w3.org/2000/svg";
  const MAX_REGIONS = 32;
  const MAX_POINTS = 64;
  const field = document.getElementById(editor.dataset.field);
  const board = editor.querySelector(".drawing");
  const drawing = board.querySelector("svg");
  const said = editor.querySelector(".said");
  const regions = JSON.parse(field.value || "[]");
  let points = [];
  let cursor = [0.5, 0.5];
  let byKeys = false;

  function shape(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    drawing.append(element);
  }

  function show() {
    drawing.replaceChildren();
    const text = (list) => list.map((p) => p.join(",")).join(" ");
    for (const region of regions) shape("polygon", { class: "masked", points: text(region.points) });
    if (points.length) shape("polyline", { class: "drawn", points: text(points) });
    for (const [x, y] of points) shape("circle", { class: "corner", cx: x, cy: y, r: 0.008 });
    if (byKeys) shape("circle", { class: "corner", cx: cursor[0], cy: cursor[1], r: 0.012 });
    field.value = JSON.stringify(regions);
    said.textContent = editor.dataset.said.replace("{regions}", regions.length).replace("{points}", points.length);
  }

  function add(x, y) {
    const place = [x, y].map((v) => Math.round(Math.min(1, Math.max(0, v)) * 10000) / 10000);
    if (points.length < MAX_POINTS && regions.length < MAX_REGIONS) points.push(place);
    show();
  }

  const acts = {
    close() {
      if (points.length >= 3) {
        regions.push({ points });
        points = [];
      }
    },
    undo() {
      if (points.length) points.pop();
      else regions.pop();
    },
    clear() {
      regions.length = 0;
      points = [];
    },
  };

  board.addEventListener("click", (event) => {
    const box = board.getBoundingClientRect();
    byKeys = false;
    add((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  });
  board.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.05 : 0.01;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) cursor = cursor.map((v, i) => Math.min(1, Math.max(0, v + moves[event.key][i])));
    else if (event.key === " ") add(...cursor);
    else if (event.key === "Enter") acts.close();
    else if (event.key === "Backspace") acts.undo();
    else return;
    byKeys = true;
    event.preventDefault();
    show();
  });
  for (const button of editor.querySelectorAll("button[data-act]")) {
    button.addEventListener("click", () => {
      acts[button.dataset.act]();
      show();
    });
  }
  // a region that was drawn and not closed is meant
  field.form.addEventListener("submit", () => {
    acts.close();
    show();
  });
  show();
})();
