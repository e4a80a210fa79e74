// SPDX-License-Identifier: Apache-2.0
#include "report_assets.hpp"

namespace sluice::detail {

std::string_view report_gantt_script() noexcept {
    return R"js(
'use strict';
// One chart at a time of plot.gantts, in a window of time that the reader moves and zooms.
function gantt(plot, tools, host) {
  const choice = make(tools, 'select', {'aria-label': 'configuration'});
  plot.gantts.forEach((g, i) => make(choice, 'option', {value: i}, g.name));
  choice.value = plot.first;
  let chart, from = 0, span = 1, end = 1, width = 0;
  let grabbed = null;  // outlives a redraw, so that dragging goes on

  const owner_colour = o => `hsl(${(o * 137.508) % 360} 58% var(--bar-light))`;
  const keep = () => {
    span = clamp(span, end / 2000, end);
    from = clamp(from, 0, end - span);
  };
  const zoom = factor => { from += span * (1 - factor) / 2; span *= factor; draw(); };
  const move = share => { from += span * share; draw(); };
  const button = (text, label, action) => {
    make(tools, 'button', {type: 'button', 'aria-label': label, title: label}, text).onclick = action;
  };
  button('\u2212', 'zoom out', () => zoom(2));
  button('+', 'zoom in', () => zoom(0.5));
  button('\u2190', 'earlier', () => move(-0.5));
  button('\u2192', 'later', () => move(0.5));
  button('all', 'whole run', () => { from = 0; span = end; draw(); });
  const label = make(tools, 'span');

  // The same window for every chart, so that configurations compare.
  const latest = Math.max(1e-6, ...plot.gantts.map(g => g.bars.reduce((m, b) => Math.max(m, b[2] + b[3]), 0)));
  function choose() {
    chart = plot.gantts[choice.value] || {lanes: [], bars: []};
    draw();
  }

  function draw() {
    keep();
    host.textContent = '';
    width = host.clientWidth;
    const narrow = width < 560, left = narrow ? 0 : 84, lane = 26, head = narrow ? 18 : 0;
    const row = lane + head + 8, height = chart.lanes.length * row + 44;
    const svg = make(host, 'svg', {viewBox: `0 0 ${width} ${height}`, height, class: 'drag',
                                   role: 'img', 'aria-label': plot.title});
    const at = t => left + (width - left - 4) * (t - from) / span;
    const bottom = height - 40;
    for (const t of linear_ticks(from, from + span, width / 90)) {
      make(svg, 'line', {class: 'grid', x1: at(t), x2: at(t), y1: 0, y2: bottom});
      make(svg, 'text', {x: at(t), y: bottom + 18, 'text-anchor': t ? 'middle' : 'start'}, number(t));
    }
    make(svg, 'text', {x: width - 4, y: bottom + 36, 'text-anchor': 'end'}, plot.x.label);
    chart.lanes.forEach((name, i) => make(svg, 'text', narrow ? {class: 'name', x: 0, y: i * row + 13}
      : {class: 'name', x: left - 10, y: i * row + 18, 'text-anchor': 'end'}, name));
    const inside = make(svg, 'svg', {x: left, y: 0, width: width - left - 4, height: bottom,
                                     style: 'overflow:hidden'});
    const bars = [];
    const last = chart.lanes.map(() => -1);
    for (const b of chart.bars) {
      const x = at(b[2]) - left, w = at(b[2] + b[3]) - left - x;
      if (x + w < 0 || x > width - left) continue;
      // What is thinner than a pixel and touches its neighbour would not be seen.
      if (w < 0.7 && x - last[b[0]] < 0.7) continue;
      last[b[0]] = x;
      const bar = make(inside, 'rect', {x: x.toFixed(1), width: Math.max(0.7, w - 0.3).toFixed(1),
        y: b[0] * row + head, height: lane, rx: w > 6 ? 2 : 0, fill: owner_colour(b[1])});
      bar.shown = b;
      bars.push(bar);
      if (w > 30) make(inside, 'text', {x: (Math.max(0, x) + Math.min(width, x + w)) / 2,
        y: b[0] * row + head + 17, 'text-anchor': 'middle', style: 'fill:#111;font-size:11px;pointer-events:none'}, b[1]);
    }
    label.textContent = `${number(from)} to ${number(from + span)}`;

    let lit = null;
    const light = owner => {
      if (owner === lit) return;
      lit = owner;
      for (const bar of bars) bar.style.opacity = owner === null || bar.shown[1] === owner ? 1 : 0.2;
    };
    svg.onpointerdown = event => { grabbed = {x: event.clientX, from}; };
    svg.onpointermove = event => {
      if (grabbed && event.buttons) {
        from = grabbed.from - (event.clientX - grabbed.x) * span / (width - left);
        hide_tip();
        return draw();
      }
      const b = event.target.shown;
      light(b ? b[1] : null);
      if (!b) return hide_tip();
      show_tip(event, `${plot.owner} ${b[1]}, ${chart.lanes[b[0]]}\n` +
        `${number(b[2])} + ${number(b[3])}${b[4] ? '\n' + b[4] : ''}`);
    };
    svg.onpointerleave = () => { hide_tip(); light(null); };
  }

  end = latest;
  span = end * clamp(plot.window || 1, 0.0005, 1);
  from = (end - span) / 2;
  choice.onchange = choose;
  new ResizeObserver(() => { if (host.clientWidth !== width) choose(); }).observe(host);
}
)js";
}

}  // namespace sluice::detail
