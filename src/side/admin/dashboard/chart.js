// Opened and ended over the last hour: drawn here, told again by a table.

import { $, clock, count, el, plural, say, svg, words } from './dom.js';

/** Causes with a look of their own; the others share one. Each look differs in its pattern, too. */
const LOOKS = ['stale', 'peer_closed', 'peer_eof', 'peer_reset', 'replaced', 'draining', 'kicked'];
const MINUTE = 60_000, MINUTES = 60;
const HEIGHT = 250, LEFT = 44, RIGHT = 6, TOP = 14, BOTTOM = 22;

const look = cause => (LOOKS.includes(cause) ? cause : 'other');
const sum = values => values.reduce((a, b) => a + b, 0);

/** Minutes, oldest first, from steps of ten seconds or so. A step belongs to the minute in which it ends. */
export function minutes(steps) {
  if (!steps.length) return [];
  const last = Math.floor((Date.parse(steps.at(-1).to) - 1) / MINUTE);
  const made = Array.from({ length: MINUTES }, (_, i) => ({ at: (last - MINUTES + 1 + i) * MINUTE, opened: 0, closed: {}, rejected: {} }));
  const add = (into, causes) => {
    for (const [cause, n] of Object.entries(causes)) into[cause] = (into[cause] ?? 0) + n;
  };
  for (const step of steps) {
    const minute = made[Math.floor((Date.parse(step.to) - 1) / MINUTE) - last + MINUTES - 1];
    if (!minute) continue;
    minute.opened += sum(Object.values(step.opened));
    for (const causes of Object.values(step.closed)) add(minute.closed, causes);
    add(minute.rejected, step.rejected);
  }
  return made;
}

const totals = (all, key) => {
  const found = {};
  for (const minute of all) for (const [cause, n] of Object.entries(minute[key])) found[cause] = (found[cause] ?? 0) + n;
  return Object.entries(found).sort((a, b) => b[1] - a[1]);
};

/** The least of 1, 2, 5, 10, … that is not below. */
function nice(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 1)));
  return [1, 2, 5, 10].map(f => f * power).find(v => v >= n);
}

let all = [], known = false;

export function build() {
  new ResizeObserver(() => draw()).observe($('chart'));
  $('chart').addEventListener('pointermove', point);
  $('chart').addEventListener('pointerleave', () => say($('readout'), ''));
  $('hour-table').addEventListener('toggle', table);
}

export function render(causes) {
  all = minutes(causes.steps);
  known = true;
  draw();
  table();
  const rejected = totals(all, 'rejected');
  say($('rejected'), rejected.length
    ? `Turned away before they had opened: ${rejected.map(([cause, n]) => `${words(cause)} ${count(n)}`).join(', ')}.` : 'No client was turned away.');
}

function patterns() {
  const tile = (name, ...marks) => svg('pattern', { id: `look-${name}`, width: 6, height: 6, patternUnits: 'userSpaceOnUse', class: `look ${name}` },
    svg('rect', { width: 6, height: 6, class: 'ground' }), ...marks);
  const line = d => svg('path', { d, class: 'mark' });
  return svg('defs', {},
    tile('stale', line('M-1 1L1 -1M0 6L6 0M5 7L7 5')),
    tile('peer_closed'),
    tile('peer_eof', line('M0 3H6')),
    tile('peer_reset', line('M0 0L6 6M6 0L0 6')),
    tile('replaced', svg('circle', { cx: 3, cy: 3, r: 1.4, class: 'dot' })),
    tile('draining', line('M3 0V6')),
    tile('kicked', line('M0 3H6M3 0V6')),
    tile('other', line('M-1 5L1 7M0 0L6 6M5 -1L7 1')),
  );
}

const swatch = name => svg('svg', { viewBox: '0 0 18 12', 'aria-hidden': 'true', class: 'swatch' },
  svg('rect', { width: 18, height: 12, fill: `url(#look-${name})`, class: 'edge' }));

function draw() {
  // Before there is an answer nothing is said, not even that nothing was opened.
  if (!known) return;
  const place = $('chart'), width = Math.max(280, place.clientWidth);
  const up = Math.max(...all.map(m => m.opened), 0), down = Math.max(...all.map(m => sum(Object.values(m.closed))), 0);
  const step = nice(Math.max(up, down, 3) / 3);
  const above = Math.max(1, Math.ceil(up / step)), below = Math.max(1, Math.ceil(down / step));
  const unit = (HEIGHT - TOP - BOTTOM) / ((above + below) * step);
  const zero = TOP + above * step * unit, wide = (width - LEFT - RIGHT) / MINUTES;
  // What happened is seen, however little it was beside the rest.
  const high = n => (n ? Math.max(1.5, n * unit) : 0);
  const chart = svg('svg', { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, 'aria-hidden': 'true' }, patterns());
  for (let k = -below; k <= above; k++) {
    const y = Math.round(zero - k * step * unit) + 0.5;
    chart.append(svg('line', { x1: LEFT, x2: width - RIGHT, y1: y, y2: y, class: k ? 'grid' : 'axis' }),
      svg('text', { x: LEFT - 6, y: y + 4, 'text-anchor': 'end' }, count(Math.abs(k) * step)));
  }
  const order = totals(all, 'closed').map(([cause]) => cause).sort((a, b) => (look(a) === 'other') - (look(b) === 'other'));
  all.forEach((minute, i) => {
    const x = LEFT + i * wide + 0.5, w = Math.max(1.5, wide - 1.5);
    if (minute.opened) chart.append(svg('rect', { x, width: w, y: zero - high(minute.opened), height: high(minute.opened), class: 'opened' }));
    let y = zero + 1;
    for (const cause of order) {
      const height = high(minute.closed[cause] ?? 0);
      if (height) chart.append(svg('rect', { x, width: w, y, height, fill: `url(#look-${look(cause)})`, class: 'edge' }));
      y += height;
    }
    const every = width < 560 ? 20 : 10;
    if ((MINUTES - 1 - i) % every === 0) {
      chart.append(svg('text', { x: x + w / 2, y: HEIGHT - 6, 'text-anchor': i === MINUTES - 1 ? 'end' : 'middle' }, clock(minute.at, false)));
    }
  });
  chart.append(svg('text', { x: LEFT + 4, y: TOP + 14, class: 'side' }, 'opened'), svg('text', { x: LEFT + 4, y: HEIGHT - BOTTOM - 4, class: 'side' }, 'ended'));
  place.replaceChildren(chart);
  legend();
}

function legend() {
  const opened = sum(all.map(m => m.opened)), ended = totals(all, 'closed');
  const item = (mark, text, n, key) => el('li', { 'data-cause': key }, mark, ` ${text} `, el('b', {}, count(n)));
  const box = svg('svg', { viewBox: '0 0 18 12', 'aria-hidden': 'true', class: 'swatch' }, svg('rect', { width: 18, height: 12, class: 'opened' }));
  $('legend').replaceChildren(item(box, 'opened', opened, 'opened'), ...ended.map(([cause, n]) => item(swatch(look(cause)), words(cause), n, cause)));
}

const sentence = minute => {
  const ended = Object.entries(minute.closed).sort((a, b) => b[1] - a[1]);
  return `${clock(minute.at, false)}: ${plural(minute.opened, 'opened', 'opened')}, ${count(sum(ended.map(([, n]) => n)))} ended`
    + (ended.length ? ` (${ended.map(([cause, n]) => `${words(cause)} ${count(n)}`).join(', ')})` : '');
};

function point(event) {
  const box = $('chart').getBoundingClientRect();
  const i = Math.floor((event.clientX - box.left - LEFT) / ((box.width - LEFT - RIGHT) / MINUTES));
  say($('readout'), all[i] ? sentence(all[i]) : '');
}

/** Made only when it is looked at; minutes in which nothing happened are left out. */
function table() {
  if (!$('hour-table').open) return;
  const rows = all.filter(m => m.opened || Object.keys(m.closed).length || Object.keys(m.rejected).length).reverse();
  const list = causes => Object.entries(causes).sort((a, b) => b[1] - a[1]).map(([cause, n]) => `${words(cause)} ${count(n)}`).join(', ') || '–';
  const body = rows.map(m => el('tr', {}, el('th', { scope: 'row' }, clock(m.at, false)), el('td', { class: 'n' }, count(m.opened)),
    el('td', { class: 'n' }, count(sum(Object.values(m.closed)))), el('td', {}, list(m.closed)), el('td', { class: 'some' }, list(m.rejected))));
  const heads = [['Minute'], ['Opened', 'n'], ['Ended', 'n'], ['Causes'], ['Turned away', 'some']].map(([text, cls]) => el('th', { scope: 'col', class: cls }, text));
  $('hour-table').lastElementChild.replaceChildren(
    el('table', { 'aria-label': 'Opened and ended in the last hour, by minute' }, el('thead', {}, el('tr', {}, ...heads)), el('tbody', {}, ...body)));
}
