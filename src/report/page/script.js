// Values where the pointer is, and series that a click on their name hides. The page is complete without it.
"use strict";
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);

  const show = (event, lines) => {
    tip.replaceChildren(...lines);
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const right = event.clientX + 14 + width > innerWidth;
    tip.style.left = `${Math.max(4, right ? event.clientX - width - 14 : event.clientX + 14)}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - height - 4))}px`;
  };

  const line = (text, colour) => {
    const div = document.createElement("div");
    if (colour) {
      const dot = document.createElement("span");
      dot.textContent = "● ";
      dot.style.color = colour;
      div.append(dot);
    }
    div.append(text.replaceAll(" %", "\u00a0%"));
    return div;
  };

  // the browser's own titles would come late and cover ours
  document.querySelectorAll("svg title").forEach((title) => {
    title.parentNode.dataset.title = title.textContent;
    title.parentNode.setAttribute("aria-label", title.textContent);
    title.remove();
  });

  const numbers = (text) => (text || "").split(/[ ,]+/).filter(Boolean);

  const curves = (chart) => {
    chart.curves ??= [...chart.querySelectorAll("[data-y]")].map((series) => ({
      series,
      name: series.dataset.name,
      unit: series.dataset.unit,
      x: numbers(series.dataset.x),
      y: numbers(series.dataset.y),
      left: numbers(series.querySelector("polyline").getAttribute("points")).filter((_, i) => i % 2 === 0).map(Number),
      colour: () => getComputedStyle(series.querySelector("polyline")).stroke,
    }));
    return chart.curves.filter((curve) => !curve.series.classList.contains("off"));
  };

  const guide = (chart, x, [, top, , height]) => {
    if (!chart.guide) {
      chart.guide = document.createElementNS("http://www.w3.org/2000/svg", "line");
      chart.guide.setAttribute("stroke", "#6B7280");
      chart.guide.classList.add("guide");
      chart.prepend(chart.guide);
    }
    for (const [name, value] of [["x1", x], ["x2", x], ["y1", top], ["y2", top + height], ["visibility", "visible"]]) {
      chart.guide.setAttribute(name, value);
    }
  };

  const hide = () => {
    tip.hidden = true;
    document.querySelectorAll(".guide").forEach((line) => line.setAttribute("visibility", "hidden"));
  };

  const point = (event) => {
    hide();
    const svg = event.target.closest && event.target.closest("svg");
    if (!svg) return;
    if (event.target.dataset.title) {
      show(event, [line(event.target.dataset.title)]);
      return;
    }
    const shown = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / shown.width;
    const [x, y] = [(event.clientX - shown.left) * scale, (event.clientY - shown.top) * scale];
    for (const chart of svg.querySelectorAll(".chart")) {
      const box = chart.dataset.box.split(",").map(Number);
      const inside = x >= box[0] - 8 && x <= box[0] + box[2] + 8 && y >= box[1] && y <= box[1] + box[3];
      const all = inside ? curves(chart) : [];
      if (!all.length) continue;
      const nearest = (curve) =>
        curve.left.reduce((best, left, i) => (Math.abs(left - x) < Math.abs(curve.left[best] - x) ? i : best), 0);
      const at = all.map((curve) => ({ curve, i: nearest(curve) }));
      const distance = ({ curve, i }) => Math.abs(curve.left[i] - x);
      const first = at.reduce((best, one) => (distance(one) < distance(best) ? one : best));
      const here = at.filter(({ curve, i }) => Math.abs(curve.left[i] - first.curve.left[first.i]) < 12);
      const [before, after] = chart.dataset.xWords.split("|");
      guide(chart, first.curve.left[first.i], box);
      show(event, [
        line(before + first.curve.x[first.i] + after),
        ...here.map(({ curve, i }) => line(`${curve.name}: ${curve.y[i]}${curve.unit}`, curve.colour())),
      ]);
    }
  };
  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);
  document.addEventListener("scroll", hide, { passive: true });

  const toggle = (key) => {
    const name = [...key.classList].find((name) => /^s\d+$/.test(name));
    const off = !key.classList.contains("off");
    key.closest("section").querySelectorAll(`.series.${name}, .key.${name}`).forEach((element) => {
      element.classList.toggle("off", off);
      if (element.classList.contains("key")) element.setAttribute("aria-pressed", String(!off));
    });
  };
  document.querySelectorAll(".key").forEach((key) => {
    key.setAttribute("role", "button");
    key.setAttribute("tabindex", "0");
    key.setAttribute("aria-pressed", "true");
    key.addEventListener("click", () => toggle(key));
    key.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      toggle(key);
    });
  });
})();
