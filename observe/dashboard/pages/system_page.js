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
    // One chart for all GPUs: "gpu0/power_watts" is a curve of "gpu/power_watts".
    const names = [...new Set(run.readings.map(([, , , name]) =>
      name.replace(/^gpu\d+\//, 'gpu/')))].sort();
    const shown = names.flatMap((name) => {
      const unit = kUnits.find(([pattern]) => pattern.test(name))?.[1];
      const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/^gpu\//, 'gpu\\d+/');
      return charts.show({id: `reading-${name}`, title: name.replaceAll('_', ' '), kind: 'lines',
        unit, source: 'readings', axis: 'time', match: new RegExp(`^${escaped}$`)}, [run],
      null) ?? [];
    });
    machine.hidden = shown.length === 0;
    if (grid.children.length !== shown.length) fill(grid, shown.map(({element}) => element));
    charts.group.redraw();
  }

  function show() {
    const {status, activity} = run.state;
    const key = JSON.stringify([run.system.workers, status, activity, Math.floor(Date.now() / 5000)]);
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

const kRoles = ['learner', 'rollout', 'verifier'];
const kMostGone = 20;  // of each role; a worker that joins again is another one
const kDone = {learner: 'token', rollout: 'completion', verifier: 'item'};

// Whoever a run that has ended left behind as here is gone, too.
const isHere = (worker, state) => worker.here && state.status === 'running';

// Who is here by role, then who is gone, the last one first; without the oldest.
function shownWorkers(workers, state) {
  const gone = {};
  const shown = workers.filter((worker) => isHere(worker, state) ||
    (gone[worker.role] = (gone[worker.role] ?? 0) + 1) <= kMostGone);
  const place = (worker) => (isHere(worker, state) ? 0 : kRoles.length) +
    kRoles.indexOf(worker.role);
  return shown.sort((a, b) => place(a) - place(b) || (isHere(a, state)
    ? a.name.localeCompare(b.name) : b.seen_at.localeCompare(a.seen_at)));
}

function loadOf(worker, here) {
  const share = worker.role === 'learner' ? 'of its time' : 'of its places';
  return [here && worker.busy !== null && `${format.percent(worker.busy)} ${share}`,
    worker.done > 0 && format.plural(worker.done, kDone[worker.role] ?? 'item'),
    worker.restarts > 0 && format.plural(worker.restarts, 'restart')].filter(Boolean).join(', ');
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
  const version = (worker, here) => worker.role === 'verifier' ? worker.software : [
    `policy ${format.number(worker.policy_version)}`,
    here && worker.policy_version < newest &&
      h('span', {class: 'change'}, ` ${newest - worker.policy_version} behind`),
    worker.software && h('span', {class: 'change'}, ` ${worker.software}`)];
  // The learner says when it does something else; until then it does what the run does.
  const isLearner = (worker) => worker.role === 'learner';
  const stateOf = (worker, here) => !here && worker.here ? 'gone'
    : here && isLearner(worker) ? state.activity : worker.state;
  const columns = ['Worker', 'Role', 'State', 'Version', 'Load', 'Under way', 'Waiting', 'Seen',
    'Numerics', 'Address', 'Last words'];
  const numeric = new Set(['Under way', 'Waiting', 'Seen']);
  const shown = shownWorkers(workers, state);
  const row = (worker) => {
    const here = isHere(worker, state);
    const count = (value, shown) => h('td', {class: 'number'},
      here && shown ? format.number(value) : '');
    return h('tr', {class: here ? null : 'gone'},
      h('th', {scope: 'row'}, worker.name),
      h('td', {}, worker.role),
      h('td', {}, h('span', {class: `dot ${worker.state === 'lost' || here ? worker.state
        : 'stopped'}`, 'aria-hidden': 'true'}), stateOf(worker, here)),
      h('td', {}, version(worker, here)),
      h('td', {}, loadOf(worker, here)),
      count(worker.running, !isLearner(worker)),
      count(worker.waiting, worker.role === 'rollout'),
      h('td', {class: 'number'}, !here ? format.time(worker.seen_at)
        : isLearner(worker) ? 'now' : format.ago(worker.seen_at)),
      h('td', {class: 'mono'}, worker.numerics, stranger(worker) &&
        h('span', {class: 'change'}, ' not the learner’s')),
      h('td', {class: 'mono'}, worker.address),
      h('td', {class: 'words'}, worker.last_words));
  };
  return [h('h2', {}, 'Workers'),
    h('div', {class: 'scroll'}, h('table', {class: 'list'},
      h('thead', {}, h('tr', {}, columns.map((name) =>
        h('th', {scope: 'col', class: numeric.has(name) ? 'number' : ''}, name)))),
      h('tbody', {}, shown.map(row)))),
    shown.length < workers.length && h('p', {class: 'change'},
      `${format.number(workers.length - shown.length)} more have gone before.`)];
}

function queueList(run) {
  const here = run.system.workers.filter((worker) => isHere(worker, run.state));
  const {metrics} = run.table('train');
  const sum = (wanted, name) => here.reduce((total, {role, [name]: value}) =>
    total + (role === wanted ? value : 0), 0);
  const total = (name) => (metrics[name] ?? []).reduce((all, value) => all + (value ?? 0), 0);
  const mean = (name) => metrics[name] && meanBefore(metrics[name], metrics[name].length, 20);
  const fact = (title, value, note) => h('div', {}, h('dt', {}, title),
    h('dd', {}, h('b', {}, value)), h('dd', {class: 'change'}, note));
  return [h('h2', {}, 'Queues'), h('dl', {class: 'figures'},
    fact('Completions under way', format.number(sum('rollout', 'running')), 'in all workers'),
    fact('Completions waiting', format.number(sum('rollout', 'waiting')), 'in all workers'),
    fact('Being judged', format.number(sum('verifier', 'running')), 'in all verifiers'),
    fact('Leases given again', format.number(total('rollout/reissued_leases')), 'in the whole run'),
    fact('Completions dropped', format.number(total('dropped/total')), 'in the whole run'),
    fact('Judged again', format.number(total('verifier/retries')), 'in the whole run'),
    fact('Wait for verdicts', format.value(mean('time/wait_for_verdicts_s'), 's'),
      'a step, mean of 20'))];
}
