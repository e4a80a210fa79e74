// SPDX-License-Identifier: Apache-2.0
#include "report_assets.hpp"

namespace sluice::detail {

std::string_view report_style() noexcept {
    return R"css(
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --ink: #1c1f23; --soft: #626a73; --line: #e4e6e8;
  --grid: #eceef0; --mark: #eef3fd; --accent: #1d4ed8; --bar-light: 58%;
  --c0: #8b929b; --c1: #c2410c; --c2: #c08a1e; --c3: #2563eb; --c4: #0f8f83;
  --c5: #7c3aed; --c6: #d0317a; --c7: #5c9414; --c8: #0a86a8; --c9: #475569;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #121417; --card: #1a1d21; --ink: #e7e9ec; --soft: #9aa3ad; --line: #2b3036;
    --grid: #252a2f; --mark: #1d2a44; --accent: #8ab4ff; --bar-light: 62%;
    --c0: #8b949e; --c1: #f0763f; --c2: #e0b04a; --c3: #6ea0ff; --c4: #35c3b4;
    --c5: #b092ff; --c6: #f472b0; --c7: #9bd04b; --c8: #45c4e6; --c9: #cbd5e1;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 2.2rem 1.25rem 4rem; }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0 0 1.2rem; font-weight: 650; }
h2 { font-size: 1.05rem; margin: 0 0 .2rem; font-weight: 650; }
p { margin: 0 0 .8rem; max-width: 92ch; }
.caption { color: var(--soft); font-size: .9rem; }
.caption:last-child { margin-bottom: 0; }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.1rem 1.2rem; margin: 0 0 1.1rem;
}
.headlines { display: grid; gap: 1.1rem; margin: 0 0 1.1rem;
  grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); }
.headlines div {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .9rem 1.2rem;
}
.headlines b { display: block; font-size: 1.3rem; white-space: nowrap; line-height: 1.3; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.headlines span { color: var(--soft); font-size: .88rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.notes { margin: .9rem 0 0; padding: .6rem .9rem; background: var(--mark); border-radius: 8px; }
.notes p { margin: 0; }
.wide { overflow-x: auto; margin: 0 -1.2rem .7rem; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { font-weight: 500; color: var(--soft); text-align: right; padding: .15rem .5rem; }
tr.groups th { text-align: center; font-size: .82rem; }
tr.groups th:not(:empty) { border-bottom: 1px solid var(--line); }
td { text-align: right; padding: .32rem .5rem; border-top: 1px solid var(--line); }
td:first-child, th:first-child { text-align: left; position: sticky; left: 0;
  background: var(--card); padding-left: 1.2rem; }
td:last-child, th:last-child { padding-right: 1.2rem; }
tr.groups th:first-child, tr.groups th:last-child { border: 0; }
td.best { font-weight: 700; color: var(--accent); }
.legend { display: flex; flex-wrap: wrap; gap: .3rem .4rem; margin: .3rem 0 .5rem; }
.legend button, .tools button, .tools select {
  font: inherit; font-size: .85rem; color: var(--ink); background: none; cursor: pointer;
  border: 1px solid var(--line); border-radius: 999px; padding: .1rem .7rem;
}
.tools button { min-width: 2.2rem; padding: .1rem .5rem; }
.tools select { background: var(--card); max-width: 100%; }
.legend button[aria-pressed=false] { color: var(--soft); opacity: .6; }
.legend button[aria-pressed=false] i { background: none; }
.legend i { display: inline-block; width: .7em; height: .7em; border-radius: 50%;
  border: 2px solid; margin-right: .45em; }
.tools { display: flex; flex-wrap: wrap; gap: .4rem; margin: .3rem 0 .6rem; align-items: center; }
.tools span { color: var(--soft); font-size: .85rem; margin-left: .3rem; }
button:focus-visible, select:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
svg { display: block; width: 100%; overflow: visible; touch-action: pan-y; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
svg text.name { fill: var(--ink); font-size: 13px; }
svg .grid { stroke: var(--grid); }
svg .axis { stroke: var(--line); }
svg .drag { cursor: grab; }
svg .whisker { stroke: var(--ink); stroke-opacity: .75; fill: none; }
details { margin-top: .6rem; }
details .wide { margin-top: .5rem; }
summary { cursor: pointer; color: var(--soft); font-size: .88rem; }
.tip {
  position: fixed; z-index: 2; pointer-events: none; display: none; max-width: 20rem;
  background: var(--ink); color: var(--page); border-radius: 6px; padding: .3rem .6rem;
  font-size: .83rem; line-height: 1.4; font-variant-numeric: tabular-nums; white-space: pre-line;
}
footer { color: var(--soft); font-size: .85rem; }
@media (max-width: 600px) {
  main { padding: 1.2rem .7rem 3rem; }
  section { padding: .9rem .8rem; }
  .wide { margin: 0 -.8rem .7rem; }
  td:first-child, th:first-child { padding-left: .8rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .35rem; }
}
@media print { section { break-inside: avoid; } .tools, .legend button[aria-pressed=false] { display: none; } }
)css";
}

}  // namespace sluice::detail
