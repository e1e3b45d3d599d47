// Small charts of what GET /metrics says: waits and holds over the last minute, closes by reason.
"use strict";

const SAMPLES = 60;
const history = { wait_time: [], use_time: [] };
let last = null;

// What Prometheus' text says of the pool that is shown, as a map from "name{labels}" to a number.
function parse(text) {
  const ours = `pool_name="${pool}"`;
  const lines = text.split("\n").filter((line) => !line.startsWith("#") && line.includes(ours));
  return new Map(lines.map((line) => {
    const end = line.lastIndexOf(" ");
    return [line.slice(0, end), Number(line.slice(end + 1))];
  }));
}

// How many took at most how long since the last look: [[seconds, count], ...].
function buckets(now, before, name) {
  const prefix = `db_client_connection_${name}_bucket{`;
  const series = [...now].filter(([key]) => key.startsWith(prefix));
  return series.map(([key, count]) => {
    const limit = /le="([^"]*)"/.exec(key)[1];
    return [limit === "+Inf" ? Infinity : Number(limit), count - (before.get(key) ?? 0)];
  }).sort(([a], [b]) => a - b);
}

// The limit that this share stayed below; null if there was nothing.
function quantile(of, share) {
  const total = of.at(-1)?.[1] ?? 0;
  if (total === 0) return null;
  const [limit] = of.find(([, count]) => count >= share * total);
  return Number.isFinite(limit) ? limit : of.at(-2)[0];
}

function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Half a millisecond is at the bottom, 30 seconds at the top.
const height = (seconds) => 68 - 60 * Math.log(seconds / 0.0005) / Math.log(30 / 0.0005);

function drawTimes(name) {
  const chart = document.getElementById(name);
  const lines = [0.001, 0.1, 10].flatMap((seconds) => [
    svg("line", { x1: 34, x2: 300, y1: height(seconds), y2: height(seconds), class: "grid" }),
    svg("text", { x: 30, y: height(seconds) + 3, class: "label" }, seconds < 1 ? `${seconds * 1000} ms` : `${seconds} s`),
  ]);
  const dots = history[name].flatMap(({ half, most }, n) => {
    const x = 300 - (history[name].length - n) * (266 / SAMPLES);
    if (most === null) return [];
    return [
      svg("line", { x1: x, x2: x, y1: height(half), y2: height(most), class: "span" }),
      svg("circle", { cx: x, cy: height(half), r: 1.6, class: "half" }),
      svg("circle", { cx: x, cy: height(most), r: 1.6, class: "most" }),
    ];
  });
  chart.replaceChildren(...lines, ...dots);
}

function drawCloses(now) {
  const reasons = [...now].flatMap(([key, count]) => {
    const match = /^watertight_connection_closes\{.*reason="([^"]*)"/.exec(key);
    return match && count > 0 ? [[match[1], count]] : [];
  }).sort(([, a], [, b]) => b - a);
  const most = Math.max(1, ...reasons.map(([, count]) => count));
  const chart = document.getElementById("closes");
  chart.setAttribute("viewBox", `0 0 300 ${Math.max(1, reasons.length) * 14}`);
  chart.replaceChildren(...reasons.flatMap(([reason, count], n) => [
    svg("text", { x: 104, y: n * 14 + 10, class: "label" }, reason),
    svg("rect", { x: 108, y: n * 14 + 2, width: 150 * count / most, height: 9, class: "bar" }),
    svg("text", { x: 112 + 150 * count / most, y: n * 14 + 10, class: "number" }, count),
  ]));
}

async function chart() {
  try {
    const now = parse(await (await fetch("metrics")).text());
    for (const name of Object.keys(history)) {
      const of = last ? buckets(now, last, name) : [];
      history[name].push({ half: quantile(of, 0.5), most: quantile(of, 0.99) });
      history[name].splice(0, history[name].length - SAMPLES);
      drawTimes(name);
    }
    drawCloses(now);
    last = now;
  } catch {
    last = null;
  }
  setTimeout(chart, 1000);
}

chart();
