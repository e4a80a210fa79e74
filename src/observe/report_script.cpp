// SPDX-License-Identifier: Apache-2.0
#include "report_assets.hpp"

namespace sluice::detail {

std::string_view report_script() noexcept {
    return R"js(
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const colour = i => `var(--c${i % 10})`;
// A point is [x, y, note, low, high]; the last ones may be missing.
const ends = p => p.length > 4 ? [p[1], p[3], p[4]] : [p[1]];
const clamp = (v, low, high) => Math.max(low, Math.min(high, v));

// Elements are made through the DOM, never from markup: no text can become an element.
function make(parent, name, attributes, text) {
  const svg = parent.namespaceURI === 'http://www.w3.org/2000/svg' || name === 'svg';
  const element = svg ? document.createElementNS('http://www.w3.org/2000/svg', name)
                      : document.createElement(name);
  for (const key in attributes || {}) element.setAttribute(key, attributes[key]);
  if (text !== undefined) element.textContent = text;
  return parent.appendChild(element);
}

const tip = make(document.body, 'div', {class: 'tip', role: 'status'});
function show_tip(event, text) {
  tip.textContent = text;
  tip.style.display = 'block';
  const box = tip.getBoundingClientRect();
  const x = event.clientX + 14 + box.width > innerWidth ? event.clientX - box.width - 14
                                                        : event.clientX + 14;
  tip.style.left = Math.max(4, x) + 'px';
  tip.style.top = clamp(event.clientY - box.height - 10, 4, innerHeight - box.height - 4) + 'px';
}
const hide_tip = () => { tip.style.display = 'none'; };

function number(value, axis) {
  if (axis && axis.percent) return +(value * 100).toFixed(1) + ' %';
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-4)) return value.toExponential(1);
  return String(+value.toPrecision(3));
}

// A value and its interval.
const spread = (p, axis) => number(p[1], axis) +
  (p.length > 4 ? ` (${number(p[3], axis)} to ${number(p[4], axis)})` : '');

function linear_ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough) || rough;
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9) + step * 1e-9; ++i)
    ticks.push(+(i * step).toPrecision(12));
  return ticks;
}

function log_ticks(low, high, count) {
  const decades = Math.log10(high / low);
  const steps = decades > count ? [1] : decades * 2 > count ? [1, 3] : [1, 2, 5];
  const ticks = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); ++e)
    for (const m of steps) {
      const v = +(m * 10 ** e).toPrecision(3);
      if (v >= low * 0.999 && v <= high * 1.001) ticks.push(v);
    }
  return ticks.length > 1 ? ticks : linear_ticks(low, high, count);
}

// An axis that maps values to pixels.
function scale(axis, values, from, to) {
  const log = axis.log && values.some(v => v > 0);
  const usable = values.filter(v => Number.isFinite(v) && (!log || v > 0));
  let low = usable.reduce((a, b) => Math.min(a, b), Infinity);
  let high = usable.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!usable.length) { low = log ? 0.1 : 0; high = 1; }
  if (log) { low /= 1.08; high *= 1.08; } else {
    const room = (high - low) * 0.05;
    if (axis.percent) { high = low < 0 ? Math.max(0, high + room) : Math.max(1, high); low = Math.min(0, low); }
    else if (axis.from_zero) { low = Math.min(0, low); high = Math.max(0, high * 1.04); }
    else { low -= room; high += room; }
  }
  if (!(high > low)) high = low + 1;
  const place = log ? v => Math.log(Math.max(v, low) / low) / Math.log(high / low)
                    : v => (v - low) / (high - low);
  const ticks = (log ? log_ticks : linear_ticks)(low, high, Math.abs(to - from) / (to < from ? 50 : 75));
  return {at: v => from + (to - from) * place(v), ticks, axis};
}

function frame(svg, x, y, box) {
  for (const v of y.ticks) {
    make(svg, 'line', {class: 'grid', x1: box.left, x2: box.right, y1: y.at(v), y2: y.at(v)});
    make(svg, 'text', {x: box.left - 8, y: y.at(v) + 4, 'text-anchor': 'end'}, number(v, y.axis));
  }
  for (const v of x.ticks) {
    make(svg, 'line', {class: 'grid', x1: x.at(v), x2: x.at(v), y1: box.top, y2: box.bottom});
    make(svg, 'text', {x: x.at(v), y: box.bottom + 18, 'text-anchor': 'middle'}, number(v, x.axis));
  }
  make(svg, 'line', {class: 'axis', x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom});
  make(svg, 'text', {x: box.right, y: box.bottom + 36, 'text-anchor': 'end'}, x.axis.label);
  make(svg, 'text', {x: box.left, y: box.top - 10}, y.axis.label);
}

// lines, steps, scatter
function draw_points(plot, host, shown) {
  const width = host.clientWidth, height = clamp(width * 0.48, 250, 400);
  const svg = make(host, 'svg', {viewBox: `0 0 ${width} ${height}`, height, role: 'img',
                                 'aria-label': plot.title});
  const box = {left: 52, right: width - 8, top: 26, bottom: height - 42};
  const visible = plot.series.map((s, i) => ({...s, i})).filter(s => shown[s.i]);
  const all = visible.flatMap(s => s.points);
  const x = scale(plot.x, all.map(p => p[0]), box.left, box.right);
  const y = scale(plot.y, all.flatMap(ends), box.bottom, box.top);
  frame(svg, x, y, box);
  const spots = [];
  for (const s of visible) {
    let path = '';
    const between = s.points.filter(p => p.length > 4);
    if (plot.kind === 'lines' && between.length > 1) make(svg, 'polygon', {fill: colour(s.colour),
      'fill-opacity': .14, points: [...between.map(p => [p[0], p[4]]), ...between.reverse().map(p => [p[0], p[3]])]
        .map(q => `${x.at(q[0]).toFixed(1)},${y.at(q[1]).toFixed(1)}`).join(' ')});
    for (const p of s.points) {
      const px = +x.at(p[0]).toFixed(1), py = +y.at(p[1]).toFixed(1);
      if (!s.joined) spots.push({px, py, p, s});
      if (plot.kind === 'scatter' && !s.joined)
        make(svg, 'circle', {cx: px, cy: py, r: 3, fill: colour(s.colour), 'fill-opacity': .55});
      else path += !path ? (plot.kind === 'steps' ? `M${px} ${box.bottom}V${py}` : `M${px} ${py}`) : plot.kind === 'steps' ? `H${px}V${py}` : `L${px} ${py}`;
    }
    if (path) make(svg, 'path', {d: path, fill: 'none', stroke: colour(s.colour), 'stroke-width': 2,
      'stroke-linejoin': 'round', 'stroke-dasharray': s.dashed ? '5 4' : 'none'});
    if (plot.kind === 'lines') for (const p of s.points)
      make(svg, 'circle', {cx: x.at(p[0]), cy: y.at(p[1]), r: 3, fill: colour(s.colour)});
  }
  const dot = make(svg, 'circle', {r: 5, fill: 'none', 'stroke-width': 2, visibility: 'hidden'});
  svg.onpointermove = event => {
    const rect = svg.getBoundingClientRect();
    const mx = event.clientX - rect.left, my = event.clientY - rect.top;
    let best = null, nearest = 40 ** 2;
    for (const q of spots) {
      const d = (q.px - mx) ** 2 + (q.py - my) ** 2;
      if (d < nearest) { nearest = d; best = q; }
    }
    dot.setAttribute('visibility', best ? 'visible' : 'hidden');
    if (!best) return hide_tip();
    dot.setAttribute('cx', best.px); dot.setAttribute('cy', best.py);
    dot.setAttribute('stroke', colour(best.s.colour));
    show_tip(event, best.s.name + '\n' + (best.p[2] ||
      `${plot.x.label}: ${number(best.p[0], plot.x)}\n${plot.y.label}: ${spread(best.p, plot.y)}`));
  };
  svg.onpointerleave = () => { hide_tip(); dot.setAttribute('visibility', 'hidden'); };
}

// Horizontal bars: names of any length stay readable on a phone.
function draw_bars(plot, host, shown) {
  const width = host.clientWidth, narrow = width < 560;
  const visible = plot.series.map((s, i) => ({...s, i})).filter(s => shown[s.i]);
  const thick = visible.length > 2 ? 9 : 13, gap = narrow ? 26 : 12;
  const group = visible.length * (thick + 2) + gap;
  const left = narrow ? 0 : Math.min(210, 20 + 7.4 * Math.max(0, ...plot.categories.map(c => c.length)));
  const height = plot.categories.length * group + 28;
  const svg = make(host, 'svg', {viewBox: `0 0 ${width} ${height}`, height, role: 'img',
                                 'aria-label': plot.title});
  const x = scale({...plot.y, log: false}, visible.flatMap(s => s.points.flatMap(ends)), left, width - 56);
  const zero = x.at(0);
  for (const v of x.ticks) {
    make(svg, 'line', {class: 'grid', x1: x.at(v), x2: x.at(v), y1: 0, y2: height - 22});
    make(svg, 'text', {x: x.at(v), y: height - 6, 'text-anchor': v ? 'middle' : 'start'}, number(v, plot.y));
  }
  plot.categories.forEach((category, c) => {
    const top = c * group;
    make(svg, 'text', narrow ? {class: 'name', x: 0, y: top + 14} : {class: 'name', x: left - 10,
      y: top + (group - gap) / 2 + 9, 'text-anchor': 'end'}, category);
    visible.forEach((s, k) => {
      const p = s.points.find(q => q[0] === c);
      if (!p) return;
      const y = top + (narrow ? 20 : 4) + k * (thick + 2), end = x.at(p[1]);
      const bar = make(svg, 'rect', {x: Math.min(zero, end), y, height: thick, rx: 2,
                                     fill: colour(s.colour), width: Math.max(1, Math.abs(end - zero))});
      let right = Math.max(zero, end);
      if (p.length > 4) {
        const a = x.at(p[3]), b = x.at(p[4]), m = y + thick / 2;
        make(svg, 'path', {class: 'whisker', d: `M${a} ${m - 3}V${m + 3}M${a} ${m}H${b}M${b} ${m - 3}V${m + 3}`});
        right = Math.max(right, b);
      }
      make(svg, 'text', {x: right + 6, y: y + thick - 1.5, 'font-size': 11}, number(p[1], plot.y));
      bar.onpointermove = event => show_tip(event, category + '\n' + (p[2] ||
        `${s.name}: ${spread(p, plot.y)}`));
      bar.onpointerleave = hide_tip;
    });
  });
}

function legend(plot, host, shown, redraw) {
  if (plot.series.length < 2) return;
  plot.series.forEach((s, i) => {
    const button = make(host, 'button', {type: 'button', 'aria-pressed': shown[i]});
    const spot = make(button, 'i');
    spot.style.borderColor = colour(s.colour);
    const paint = () => { spot.style.background = shown[i] ? colour(s.colour) : 'none'; };
    paint();
    button.append(s.name);
    button.onclick = () => {
      shown[i] = !shown[i];
      button.setAttribute('aria-pressed', shown[i]);
      paint();
      redraw();
    };
  });
}

function start(plot, section) {
  const head = make(section, 'div', {class: plot.kind === 'gantt' ? 'tools' : 'legend'});
  const host = make(section, 'div');
  if (plot.kind === 'gantt') return gantt(plot, head, host);
  const shown = plot.series.map(s => s.shown);
  const draw = plot.kind === 'bars' ? draw_bars : draw_points;
  let width = 0;
  const redraw = () => {
    width = host.clientWidth;
    host.textContent = '';
    draw(plot, host, shown);
  };
  legend(plot, head, shown, redraw);
  new ResizeObserver(() => { if (host.clientWidth !== width) redraw(); }).observe(host);
}

addEventListener('DOMContentLoaded', () => {
  document.querySelectorAll('[data-plot]').forEach(s => start(data.plots[s.dataset.plot], s));
});
)js";
}

}  // namespace sluice::detail
