// Elements, words and numbers. What comes from peers becomes text here, and never markup.

import { CLASSES } from './classes.js';

export const $ = id => document.getElementById(id);

/** An element. Children are elements or text. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, '');
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Changes a node only if it says something else. */
export function say(node, text) {
  text = String(text);
  if (node.textContent !== text) node.textContent = text;
}
export function mark(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}
export function show(node, yes) {
  if (node.hidden === yes) node.hidden = !yes;
}

// Characters that are not seen but change how others are: controls, bidirectional marks, what has no width.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A peer's word, with what cannot be seen made visible. */
export const visible = text => String(text).replace(UNSEEN, c => `⟨${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);

/** A peer's word as an element of its own, which changes nothing around it. */
export function word(text, cls) {
  const made = el('bdi', { class: cls });
  setWord(made, text);
  return made;
}
export function setWord(node, text) {
  const shown = visible(text);
  say(node, shown);
  if (shown.length > 24) mark(node, 'title', shown);
  else node.removeAttribute('title');
}

// ---- numbers ----

const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
export const count = n => (n == null ? '–' : plain.format(n).replaceAll(',', '\u202f'));
export const few = n => (n == null ? '–' : n > 0 && n < 10 ? n.toFixed(1) : count(Math.round(n)));

/** Three figures and a unit. */
const three = n => (n >= 99.95 ? n.toFixed(0) : n >= 9.995 ? n.toFixed(1) : n.toFixed(2));
export function micros(us) {
  if (us == null) return '–';
  if (us < 1_000) return `${us} µs`;
  if (us < 1_000_000) return `${three(us / 1_000)} ms`;
  return `${three(us / 1_000_000)} s`;
}
export function span(ms) {
  if (ms == null) return '–';
  if (ms < 1_000) return `${ms} ms`;
  const s = ms / 1_000;
  if (s < 60) return `${s.toFixed(1)} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ${Math.floor((s % 3_600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3_600)} h`;
}
export function bytes(n) {
  if (n == null) return '–';
  if (n < 1_024) return `${n} B`;
  if (n < 1_048_576) return `${three(n / 1_024)} KiB`;
  return `${three(n / 1_048_576)} MiB`;
}
const two = n => String(n).padStart(2, '0');
export function clock(at, seconds = true) {
  const t = new Date(at);
  return `${two(t.getHours())}:${two(t.getMinutes())}${seconds ? `:${two(t.getSeconds())}` : ''}`;
}
export function moment(at) {
  const t = new Date(at);
  const today = new Date().toDateString() === t.toDateString();
  return today ? clock(at) : `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${clock(at)}`;
}
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export const className = name => CLASSES[name] ?? name ?? '–';
/** A cause as the log has it, with spaces. */
export const words = name => String(name).replaceAll('_', ' ');

// ---- forms ----

/** Disables the form's button, so that it cannot be pressed twice; returns what enables it again. */
export function busy(form) {
  const button = form.querySelector('[type=submit]');
  button.disabled = true;
  return () => {
    button.disabled = false;
  };
}

// ---- tables ----

/** How long a table under the pointer stays as it is. */
const HOLD = 20_000;

/**
 * A table whose rows are changed in place. Columns: { head, cls, fill(cell, item) }, and make(cell) where a cell has parts.
 * A live one keeps its order while the pointer or the focus is in it.
 */
export class Table {
  constructor(place, label, columns, live = false) {
    this.columns = columns;
    this.rows = [];
    this.heldSince = -Infinity;
    this.body = el('tbody');
    const head = columns.map(c => el('th', { scope: 'col', class: c.cls }, c.head));
    this.table = el('table', { 'aria-label': label }, el('thead', {}, el('tr', {}, ...head)), this.body);
    place.replaceChildren(this.table);
    if (live) {
      const hold = () => { this.heldSince = performance.now(); };
      const free = () => { if (!this.table.contains(document.activeElement)) this.heldSince = -Infinity; };
      this.table.addEventListener('pointermove', e => { if (e.pointerType === 'mouse') hold(); });
      this.table.addEventListener('pointerleave', free);
      this.table.addEventListener('focusin', hold);
      this.table.addEventListener('focusout', () => { this.heldSince = -Infinity; });
    }
  }

  show(items) {
    const held = performance.now() - this.heldSince < HOLD && this.rows.length > 0;
    mark(this.table, 'data-held', held);
    if (held) return;
    while (this.rows.length > items.length) this.rows.pop().row.remove();
    while (this.rows.length < items.length) {
      const cells = this.columns.map(c => {
        const cell = el('td', { class: c.cls });
        c.make?.(cell);
        return cell;
      });
      const row = el('tr', {}, ...cells);
      this.body.append(row);
      this.rows.push({ row, cells });
    }
    items.forEach((item, i) => this.columns.forEach((c, j) => c.fill(this.rows[i].cells[j], item)));
  }
}

export const column = (head, cls, value) => ({ head, cls, fill: (cell, item) => say(cell, value(item)) });

/** The identity, as a button that opens the details. */
export const whoColumn = open => ({
  head: 'Identity', cls: 'identity',
  make(cell) {
    const button = el('button', { type: 'button', class: 'identity' }, el('bdi', { class: 'user' }), el('bdi', { class: 'package' }));
    button.addEventListener('click', () => open(button.dataset.id));
    cell.append(button);
  },
  fill(cell, item) {
    const button = cell.firstChild;
    button.dataset.id = item.id;
    setWord(button.firstChild, item.user ?? 'no user yet');
    setWord(button.lastChild, item.package ?? '');
  },
});

/** A state, as a word with a shape before it. */
export const stateColumn = {
  head: 'State', cls: 'state',
  make: cell => cell.append(el('span', { class: 'chip' })),
  fill(cell, item) {
    mark(cell.firstChild, 'data-state', item.state);
    say(cell.firstChild, item.state);
  },
};
