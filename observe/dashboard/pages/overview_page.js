// The curves of a run, what stands out in them, and where it is now.
import * as api from './api.js';
import {ChartPage, chartToolbar, overlaid} from './chart_page.js';
import {otherCharts, sectionsOf} from './chart_specs.js';
import {fill, h} from './dom.js';
import {figures} from './figures.js';
import * as format from './format.js';
import {param, setView} from './navigation.js';
import {notices} from './notices.js';
import {segmented} from './segmented.js';

export function overviewPage(root, session, run) {
  const readout = h('span', {class: 'readout', 'aria-live': 'polite'});
  const charts = new ChartPage({onCrosshair: (step) => {
    readout.textContent = step === null ? '' : stepWords(run, phase(), step, charts.group.window());
  }});
  const phaseTabs = segmented('Phase', [['train', 'Training'], ['sft', 'Cold start']],
    (one) => setView({phase: one === defaultPhase() ? null : one, zoom: null}));
  const tables = [['CSV', 'csv'], ['JSON', 'json']].map(([text, ending]) => [
    h('a', {download: ''}, text), ending]);
  const save = h('span', {class: 'save-all'}, 'All metrics as ', tables[0][0], ' ', tables[1][0]);
  const toolbar = chartToolbar(charts, session, {readout, more: [phaseTabs.element, save]});
  const numbers = h('dl', {class: 'figures'});
  const aside = h('aside', {class: 'notices', 'aria-label': 'What stands out'});
  const body = h('div', {class: 'sections'});
  root.append(h('h1', {class: 'hidden'}, 'Overview'), numbers, toolbar.element, body);
  let layout = '';
  let hints = null;  // until they are here
  let asked = false;

  const defaultPhase = () =>
    run.phases().includes('train') || !run.phases().includes('sft') ? 'train' : 'sft';
  const phase = () =>
    (['train', 'sft'].includes(param('phase')) ? param('phase') : defaultPhase());

  async function load() {
    const runs = [run, ...overlaid().map((id) => session.run(id))];
    const wanted = phase() === 'sft' ? ['sft'] : ['train', 'eval/train'];
    await Promise.all(runs.map((one, i) => one.want({phases: wanted, readings: i === 0})));
    return runs;
  }

  function showPhases() {
    phaseTabs.element.hidden = !['train', 'sft'].every((one) => run.phases().includes(one));
    phaseTabs.update(phase());
    for (const [link, ending] of tables) link.href = api.tableLink(run.id, ending, phase());
  }

  function showCharts(runs) {
    const sections = sectionsOf(phase());
    const existing = Object.keys(run.table(phase()).metrics);
    const others = {title: 'Other curves', charts: otherCharts(sections, existing), folded: true};
    const parts = [...sections, others].map((section) => ({...section,
      charts: section.charts.flatMap((spec) => charts.show(spec, runs, phase()) ?? [])}))
      .filter((section) => section.charts.length > 0);
    const now = phase() + parts.flatMap((part) => part.charts.map(({spec}) => spec.id)).join();
    if (now === layout) return;
    layout = now;
    fill(body, parts.length === 0 && h('p', {class: 'empty'},
      'No step is written yet: the curves begin with the first one.'),
    parts.map((section, i) => {
      const grid = h('div', {class: 'charts'}, section.charts.map(({element}) => element),
        i === 0 && aside);
      if (i === 0) grid.insertBefore(aside, grid.children[1] ?? null);
      return section.folded
        ? h('details', {class: 'more-curves'}, h('summary', {},
          `Other curves (${section.charts.length})`), grid)
        : h('section', {}, h('h2', {}, section.title), grid);
    }));
  }

  function show(runs) {
    showPhases();
    showCharts(runs);
    figures(numbers, run, phase());
    notices(aside, run, hints);
    charts.follow(run.eventsOf(phase()));
    toolbar.update();
  }

  async function loadHints() {
    hints = (await api.hints(run.id)).hints;
    notices(aside, run, hints);
  }

  let shownPhase = null;
  return {
    async update() {
      const runs = await load();
      if (shownPhase !== phase()) {
        charts.clear();
        layout = '';
        shownPhase = phase();
      }
      show(runs);
      if (!asked) {
        asked = true;
        loadHints().catch(() => {});  // the state line tells what is wrong
      }
    },
    async refresh() {
      const runs = await load();
      await Promise.all(runs.slice(1).map((one) => one.refresh()));
      show(runs);
      if (run.grown) await loadHints();
    },
    close: () => charts.close(),
    keys: charts.keys(),
  };
}

// "Step 12, 28 Nov, 08:31 · checkpoint: step-000012", with the events that one can hardly point
// beside.
function stepWords(run, phase, step, [low, high]) {
  const info = run.steps.find((one) => one.phase === phase && one.step === step);
  const close = Math.max((high - low) / 400, 0.5);
  const events = run.eventsOf(phase).filter((event) => Math.abs(event.step - step) <= close);
  const when = info ? `, ${format.time(info.at)}` : '';
  const what = events.map((event) => `${event.kind.replaceAll('_', ' ')}: ${event.message}`);
  return `Step ${format.number(Math.round(step * 10) / 10)}${when}` +
    (what.length ? ` · ${what.join(' · ')}` : '');
}
