// Who works for the run, what waits, what the machines do, what the log and the configuration say.
import * as api from './api.js';
import {ChartPage} from './chart_page.js';
import {fill, h, problem} from './dom.js';
import * as format from './format.js';
import {meanBefore} from './tables.js';

const kUnits = [[/bytes/, 'bytes'], [/percent/, '%'], [/watt/, 'W'], [/celsius/, '°C']];

export function systemPage(root, session, run) {
  const charts = new ChartPage();
  charts.group.axis = 'time';
  charts.group.onZoom = () => {};
  charts.group.onPick = null;
  charts.group.onLog = null;
  const workers = h('section');
  const queues = h('section');
  const grid = h('div', {class: 'charts'});
  const machine = h('section', {}, h('h2', {}, 'Machines'), grid);
  const log = h('pre', {class: 'log', tabindex: 0, role: 'log', 'aria-label': 'Log'});
  const logTitle = h('h2', {}, 'Log');
  const toml = h('pre', {class: 'log', tabindex: 0, 'aria-label': 'Configuration'});
  const config = h('details', {class: 'config', ontoggle: async () => {
    try {
      toml.textContent ||= (await api.config(run.id)).toml;
    } catch (error) {
      toml.replaceWith(problem(error));
    }
  }}, h('summary', {}, 'Configuration'), toml);
  root.append(h('h1', {class: 'hidden'}, 'System'), workers, queues, machine,
    h('section', {}, logTitle, log), config);
  let shownLog = null;
  let shownWorkers = '';

  function showLog({log: lines, log_bytes: size}) {
    const text = lines.length ? lines.join('\n') : 'The run has no log.';
    if (text === shownLog) return;
    const atEnd = shownLog === null || log.scrollTop + log.clientHeight >= log.scrollHeight - 30;
    shownLog = text;
    log.textContent = text;
    fill(logTitle, 'Log ', h('span', {class: 'unit'},
      `the last ${format.plural(lines.length, 'line')} of ${format.bytes(size)}`));
    if (atEnd) requestAnimationFrame(() => { log.scrollTop = log.scrollHeight; });
  }

  function showCharts() {
    const names = [...new Set(run.readings.map(([, , , name]) => name))].sort();
    const shown = names.flatMap((name) => {
      const unit = kUnits.find(([pattern]) => pattern.test(name))?.[1];
      const exact = new RegExp(`^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
      return charts.show({id: `reading-${name}`, title: name.replaceAll('_', ' '), kind: 'lines',
        unit, source: 'readings', axis: 'time', match: exact}, [run], null) ?? [];
    });
    machine.hidden = shown.length === 0;
    if (grid.children.length !== shown.length) fill(grid, shown.map(({element}) => element));
    charts.group.redraw();
  }

  function show() {
    const key = JSON.stringify(run.system.workers) + Math.floor(Date.now() / 5000);
    if (key !== shownWorkers) {
      shownWorkers = key;
      fill(workers, workerTable(run.system.workers, run.state));
    }
    fill(queues, queueList(run));
    showCharts();
    showLog(run.system);
  }

  return {
    async update() {
      await run.want({phases: ['train'], readings: true});
      show();
    },
    async refresh() { show(); },
    close: () => charts.close(),
    keys: [{key: '0', label: 'Show all times', run: () => charts.group.zoomTo(null)}],
  };
}

function workerTable(workers, state) {
  if (!workers.length) {
    return [h('h2', {}, 'Workers'),
      h('p', {class: 'empty'}, 'The run has no record of its workers.')];
  }
  const newest = Math.max(...workers.map((worker) => worker.policy_version));
  const learner = workers.find(({role}) => role === 'learner');
  const stranger = (worker) => learner && worker.numerics && worker.role === 'rollout' &&
    worker.numerics !== learner.numerics;
  const columns = ['Worker', 'Role', 'State', 'Policy version', 'Under way', 'Waiting', 'Seen',
    'Numerics', 'Address', 'Last words'];
  const numeric = new Set(['Policy version', 'Under way', 'Waiting', 'Seen']);
  const resting = state.status !== 'running';
  return [h('h2', {}, 'Workers'),
    h('div', {class: 'scroll'}, h('table', {class: 'list'},
      h('thead', {}, h('tr', {}, columns.map((name) =>
        h('th', {scope: 'col', class: numeric.has(name) ? 'number' : ''}, name)))),
      h('tbody', {}, workers.map((worker) => h('tr', {},
        h('th', {scope: 'row'}, worker.name),
        h('td', {}, worker.role),
        h('td', {}, h('span', {class: `dot ${resting ? 'stopped' : worker.state}`,
          'aria-hidden': 'true'}), worker.state),
        h('td', {class: 'number'}, worker.role === 'verifier' ? '' : [
          format.number(worker.policy_version), worker.policy_version < newest &&
            h('span', {class: 'change'}, ` ${newest - worker.policy_version} behind`)]),
        h('td', {class: 'number'}, format.number(worker.running)),
        h('td', {class: 'number'}, format.number(worker.waiting)),
        h('td', {class: 'number'}, resting ? format.time(worker.seen_at)
          : format.ago(worker.seen_at)),
        h('td', {class: 'mono'}, worker.numerics, stranger(worker) &&
          h('span', {class: 'change'}, ' not the learner’s')),
        h('td', {class: 'mono'}, worker.address),
        h('td', {class: 'words'}, worker.last_words))))))];
}

function queueList(run) {
  const {workers} = run.system;
  const {metrics} = run.table('train');
  const sum = (name) => workers.reduce((total, worker) => total + worker[name], 0);
  const total = (name) => (metrics[name] ?? []).reduce((all, value) => all + (value ?? 0), 0);
  const mean = (name) => metrics[name] && meanBefore(metrics[name], metrics[name].length, 20);
  const fact = (title, value, note) => h('div', {}, h('dt', {}, title),
    h('dd', {}, h('b', {}, value)), h('dd', {class: 'change'}, note));
  return [h('h2', {}, 'Queues'), h('dl', {class: 'figures'},
    fact('Completions under way', format.number(sum('running')), 'in all workers'),
    fact('Completions waiting', format.number(sum('waiting')), 'in all workers'),
    fact('Leases given again', format.number(total('rollout/reissued_leases')), 'in the whole run'),
    fact('Completions dropped', format.number(total('dropped/total')), 'in the whole run'),
    fact('Judged again', format.number(total('verifier/retries')), 'in the whole run'),
    fact('Wait for verdicts', format.value(mean('time/wait_for_verdicts_s'), 's'),
      'a step, mean of 20'))];
}
