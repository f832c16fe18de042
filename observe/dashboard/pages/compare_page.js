// Runs beside one another: what was set otherwise, and what became of it.
import * as api from './api.js';
import {ChartPage, chartToolbar, overlaid} from './chart_page.js';
import {kTrainSections} from './chart_specs.js';
import {fill, h} from './dom.js';
import * as format from './format.js';
import {setView} from './navigation.js';
import {runSpot} from './swatch.js';
import {meanBefore} from './tables.js';

const kMost = 6;
const kSpan = 20;
const kSummary = [
  ['reward/mean', 'Reward', ''], ['groups/all_right', 'Groups all right', 'share'],
  ['length/mean', 'Length, tokens', 'tokens'], ['length/truncated', 'Truncated', 'share'],
  ['policy/entropy', 'Entropy, nats', 'nats'],
  ['optimizer/gradient_norm', 'Gradient norm', ''], ['time/step_s', 'Time of a step', 's'],
];

export function comparePage(root, session, run) {
  const readout = h('span', {class: 'readout', 'aria-live': 'polite'});
  const charts = new ChartPage({onCrosshair: (step) => {
    readout.textContent = step === null ? '' : `Step ${format.number(step)}`;
  }});
  const toolbar = chartToolbar(charts, session, {readout, overlays: false});
  const picks = h('fieldset', {class: 'picks'});
  const tables = h('div', {class: 'compare-tables'});
  const grid = h('div', {class: 'charts'});
  root.append(h('h1', {class: 'hidden'}, 'Compare'), picks, tables, toolbar.element, grid);
  let asked = '';

  const boxes = session.runs.filter((one) => one.id !== run.id).map((one) =>
    h('input', {type: 'checkbox', value: one.id, onchange: () => setView(
      {with: boxes.filter((box) => box.checked).map(({value}) => value).join(',')})}));
  fill(picks, h('legend', {}, `Beside ${run.id}`),
    boxes.map((box) => h('label', {}, box, ' ', box.value)),
    boxes.length === 0 && h('p', {class: 'empty'},
      'This dashboard serves one run. Name several: ponder dashboard RUN RUN'));

  function showPicks(ids) {
    for (const box of boxes) {
      box.checked = ids.includes(box.value);
      box.disabled = ids.length >= kMost && !box.checked;
    }
  }

  async function load() {
    const ids = [run.id, ...overlaid()].slice(0, kMost);
    const runs = ids.map((id) => session.run(id));
    await Promise.all(runs.map((one) => one.want({phases: ['train', 'eval/train']})));
    return runs;
  }

  function showCharts(runs) {
    const specs = kTrainSections.flatMap((section) => section.charts)
      .filter((spec) => spec.kind !== 'stack' && !spec.source);
    const right = {id: 'all-right', title: 'Groups all right', kind: 'lines', unit: 'share',
      names: ['groups/all_right'], help: 'Nothing is left to learn from these.'};
    const shown = [specs[0], right, ...specs.slice(1)].flatMap((spec) =>
      charts.show(spec, runs, 'train') ?? []);
    if (grid.children.length !== shown.length) fill(grid, shown.map(({element}) => element));
    charts.follow([]);
    toolbar.update();
  }

  async function showTables(runs) {
    const ids = runs.map(({id}) => id);
    const key = ids.join();
    if (key === asked) return;
    asked = key;
    if (ids.length < 2) {
      fill(tables, h('p', {class: 'empty'}, 'Choose a run to set beside this one.'));
      return;
    }
    const answer = await api.compare(ids);
    if (key !== asked) return;  // others are chosen by now
    fill(tables, summaryTable(runs), settingsTable(answer, ids), evaluationTable(answer, ids));
  }

  return {
    async update() {
      const runs = await load();
      showPicks(runs.map(({id}) => id));
      await showTables(runs);
      showCharts(runs);
    },
    async refresh() {
      const runs = await load();
      await Promise.all(runs.slice(1).map((one) => one.refresh()));
      asked = '';
      await showTables(runs);
      showCharts(runs);
    },
    close: () => charts.close(),
    keys: charts.keys(),
  };
}

const heads = (ids) => ids.map((id, i) => h('th', {scope: 'col', class: 'number'},
  runSpot(i), ' ', id));

function table(title, note, head, rows) {
  return h('section', {}, h('h2', {}, title), note && h('p', {class: 'note'}, note),
    h('div', {class: 'scroll'}, h('table', {class: 'list'},
      h('thead', {}, h('tr', {}, head)), h('tbody', {}, rows))));
}

function summaryTable(runs) {
  const rows = [['Steps', runs.map((run) => format.number(run.state.last_step))]];
  for (const [name, title, unit] of kSummary) {
    const means = runs.map((run) => {
      const column = run.table('train').metrics[name];
      return column ? meanBefore(column, column.length, kSpan) : null;
    });
    if (means.every((mean) => mean === null)) continue;
    rows.push([title, means.map((mean, i) => {
      const change = i > 0 && mean !== null && means[0] !== null ? mean - means[0] : null;
      return [h('b', {}, format.value(mean, unit)),
        change !== null && h('span', {class: 'change'}, ` ${format.change(change, unit)}`)];
    })]);
  }
  return table('Where they are',
    `Means of the last ${kSpan} steps, and the difference to the first.`,
    [h('th', {scope: 'col'}, ''), heads(runs.map(({id}) => id))],
    rows.map(([title, cells]) => h('tr', {}, h('th', {scope: 'row'}, title),
      cells.map((cell) => h('td', {class: 'number'}, cell)))));
}

function settingsTable({runs, settings}, ids) {
  const unread = runs.filter((run) => run.settings_fault)
    .map((run) => `Those of ${run.id} are not known: ${run.settings_fault}`).join(' ');
  if (!settings.length) {
    return h('section', {}, h('h2', {}, 'Settings that differ'),
      h('p', {class: 'empty'}, unread || 'None: the configurations are the same.'));
  }
  return table('Settings that differ', unread, [h('th', {scope: 'col'}, 'Key'), heads(ids)],
    settings.map(({key, values}) => h('tr', {}, h('th', {scope: 'row', class: 'mono'}, key),
      values.map((value) => h('td', {class: 'number mono'}, value ?? '–')))));
}

const bound = (share) => (share * 100).toFixed(1);

function evaluationTable({evaluations}, ids) {
  const rows = new Map();  // "phase step name" -> cells
  for (const {run, phase, step, metrics} of evaluations) {
    for (const [name, value] of Object.entries(metrics)) {
      if (/_(low|high)$/.test(name) || !(name + '_low' in metrics)) continue;
      const untrained = phase === 'eval/untrained';
      const key = JSON.stringify([untrained ? -1 : step, name]);
      if (!rows.has(key)) rows.set(key, new Array(ids.length).fill(null));
      rows.get(key)[ids.indexOf(run)] = [h('b', {}, format.percent(value)),
        h('span', {class: 'interval'}, ` [${bound(metrics[name + '_low'])}, ` +
          `${bound(metrics[name + '_high'])}]`)];
    }
  }
  if (!rows.size) return null;
  const sorted = [...rows].map(([key, cells]) => [...JSON.parse(key), cells])
    .sort((a, b) => a[0] - b[0] || a[1].localeCompare(b[1]));
  return table('Held-out accuracy', 'With 95 % Wilson intervals, in percent.',
    [h('th', {scope: 'col'}, 'Step'), h('th', {scope: 'col'}, 'Decoding'), heads(ids)],
    sorted.map(([step, name, cells]) => h('tr', {},
      h('th', {scope: 'row'}, step < 0 ? 'untrained' : step),
      h('td', {}, name.replace(/^eval\/|_accuracy$/g, '')),
      cells.map((cell) => h('td', {class: 'number'}, cell ?? '–')))));
}
