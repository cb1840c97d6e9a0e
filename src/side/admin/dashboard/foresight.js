// What is likely to happen: connections at risk, parts of the network that stop answering, and whose fault that is.

import { $, Table, className, column, count, el, mark, plural, say, setWord, show, span, visible, whoColumn, words } from './dom.js';

const FAULTS = {
  stall: 'the loop did not run for a while',
  lateness: 'it handles deadlines too late',
  upstreams: 'servers do not answer either',
};
/** The shape before each risk. */
const SHAPES = { raised: 'suspect', high: 'firing' };

/** The reasons in few words; the whole sentences are in the details. */
const SHORT = {
  late_heartbeats: ({ late_of_latest_16: late }) => `${late} of 16 late`,
  cohort_alarm: () => 'its network is silent',
  path_gone: () => 'path gone',
  proxy_kernel: () => 'behind a proxy',
  often_lost: ({ losses_last_hour: losses }) => `lost ${count(losses)} times in an hour`,
};

let connections, cohorts;
/** The cohort that the button of a row finds. */
const cohortOf = new WeakMap();

export function build({ open, connectedWith }) {
  connections = new Table($('risk-rows'), 'Connections at risk', [
    whoColumn(open), column('Class', 'some', item => className(item.class)),
    {
      head: 'Risk', cls: 'state',
      make: cell => cell.append(el('span', { class: 'chip' })),
      fill(cell, { risk }) {
        mark(cell.firstChild, 'data-state', SHAPES[risk] ?? 'healthy');
        say(cell.firstChild, risk ?? 'closing');
      },
    },
    {
      head: 'Why', cls: 'pattern',
      fill(cell, { foresight }) {
        const reasons = foresight?.reasons ?? [];
        mark(cell, 'title', visible(reasons.map(({ text }) => text).join('; ')));
        say(cell, reasons.map(({ reason }) => SHORT[reason]?.(foresight) ?? words(reason)).join('; ') || '–');
      },
    },
    column('Late soon', 'n mid', ({ foresight }) => (foresight ? `${foresight.late_soon_percent} %` : '–')),
    column('Address', 'address some', item => item.peer),
  ], true);
  cohorts = new Table($('cohorts-rows'), 'Parts of the network with late heartbeats', [
    {
      head: 'Network', cls: 'identity',
      make(cell) {
        const button = el('button', { type: 'button', class: 'identity' }, el('bdi', { class: 'user' }), el('bdi', { class: 'package' }));
        button.addEventListener('click', () => {
          const { block, class: peers } = cohortOf.get(button);
          connectedWith({ address: block, class: peers });
        });
        cell.append(button);
      },
      fill(cell, cohort) {
        const button = cell.firstChild;
        cohortOf.set(button, cohort);
        setWord(button.firstChild, cohort.block);
        setWord(button.lastChild, className(cohort.class));
      },
    },
    {
      head: 'State', cls: 'state',
      make: cell => cell.append(el('span', { class: 'chip' })),
      fill(cell, { alarmed_for_ms: alarmed }) {
        mark(cell.firstChild, 'data-state', alarmed == null ? 'suspect' : 'firing');
        say(cell.firstChild, alarmed == null ? 'some late' : `silent for ${span(alarmed)}`);
      },
    },
    column('Connections', 'n mid', cohort => count(cohort.connections)),
    column('Late peers', 'n', ({ late_peers: n }) => (n < 5 ? count(n) : '5+')),
    column('Score', 'n some', cohort => `${cohort.score_percent} %`),
    column('Usually late', 'n some', cohort => `${cohort.usual_late_percent} %`),
    column('Last late', 'n some', ({ late_ago_ms: ago }) => (ago == null ? '–' : `${span(ago)} ago`)),
  ], true);
}

/** Shows what is at risk; nothing at all if nothing is, and no fault is known. */
export function render(risky, told) {
  const { fleet, alarmed, matched } = told, rows = risky?.connections ?? [];
  const any = rows.length > 0 || told.cohorts.length > 0 || fleet.own_fault != null || fleet.is_late;
  show($('risk'), any);
  show($('risk-link'), any);
  if (!any) return;
  connections.show(rows);
  show($('risk-connections'), rows.length > 0);
  cohorts.show(told.cohorts);
  show($('risk-cohorts'), told.cohorts.length > 0);
  const fault = fleet.own_fault == null ? '' : `The fault is the gateway's: ${FAULTS[fleet.own_fault] ?? visible(fleet.own_fault)}. Late heartbeats do not count now.`;
  const late = fleet.is_late ? `${count(fleet.late)} of the latest ${count(fleet.judged)} heartbeats were late: look at what is in front of the gateway.` : '';
  say($('risk-fault'), `${fault} ${late}`.trim());
  const more = risky && risky.matched > rows.length ? `, ${count(rows.length)} of them are shown; GET /api/v1/at-risk has more` : '';
  const silent = alarmed ? `; ${plural(alarmed, 'part')} of the network stopped answering` : '';
  say($('risk-told'), `${plural(risky?.matched ?? 0, 'connection')} at risk${more}; ${plural(matched, 'part')} of the network with late heartbeats${silent}`);
}
