// Why connections ended: the verdicts of the last 10 minutes, beside those before.

import { $, Table, column, count, el, say, setWord, show } from './dom.js';

let table;

export function build() {
  table = new Table($('verdicts-rows'), 'Why connections ended', [
    {
      head: 'Why', cls: 'identity',
      make: cell => cell.append(el('bdi', { class: 'user' }), el('bdi', { class: 'package' })),
      fill(cell, { class: peers, verdict, meaning }) {
        setWord(cell.firstChild, `${verdict} (${peers})`);
        setWord(cell.lastChild, meaning);
      },
    },
    column('Last 10 min', 'n', ({ last_10_min }) => count(last_10_min)),
    column('Hour before', 'n', ({ hour_before }) => count(hour_before)),
    column('Since the start', 'n some', row => count(row.count)),
    column('Reported, too', 'n some', ({ both }) => count(both)),
  ], true);
}

/** Shows the verdicts; nothing at all while no connection has ended. */
export function render(verdicts) {
  show($('verdicts'), verdicts.length > 0);
  show($('verdicts-link'), verdicts.length > 0);
  if (!verdicts.length) return;
  table.show(verdicts);
  const ends = verdicts.reduce((sum, row) => sum + row.last_10_min, 0);
  say($('verdicts-told'), `${count(ends)} ended in the last 10 min; GET /api/v1/verdicts says what to do about each`);
}
