// From a point of a curve to the groups and tokens that made it.
import * as api from './api.js';
import {ChartPage} from './chart_page.js';
import {labelOf, namesOf, sectionsOf} from './chart_specs.js';
import {fill, h, problem} from './dom.js';
import * as format from './format.js';
import {pageLink, param, setView} from './navigation.js';
import {hintItem} from './notices.js';
import {stepPicker} from './step_picker.js';
import {chip} from './verdicts.js';

const kAround = 40;  // steps shown to each side

export function whyPage(root, session, run) {
  const metric = () => param('metric', 'reward/mean');
  const charts = new ChartPage();
  charts.group.onPick = ({metric: name, step}) => setView({metric: name, step});
  charts.group.onZoom = () => {};
  charts.group.onLog = null;
  const metrics = h('select', {'aria-label': 'Curve',
    onchange: (event) => setView({metric: event.target.value})});
  const picker = stepPicker(({step}) => setView({step}));
  const head = h('div', {class: 'why-head'});
  const figure = h('div', {class: 'why-chart'});
  const body = h('div', {class: 'why-body'});
  const hintsBox = h('section', {class: 'why-hints'});
  root.append(h('h1', {class: 'hidden'}, 'Why'),
    h('div', {class: 'toolbar'}, h('label', {}, 'Why was ', metrics), picker.element),
    head, figure, body);
  let shown = {metric: null, step: null};
  let turn = 0;

  const steps = () => run.table('train').steps;
  const step = () => Number(param('step')) || steps().at(-1) || 0;

  function specOf(name) {
    const all = sectionsOf('train').flatMap(({charts: specs}) => specs);
    const known = all.find((spec) => spec.names && !spec.phase &&
      namesOf(spec, Object.keys(run.table('train').metrics)).includes(name));
    return {id: `why-${name}`, title: name, kind: 'lines', unit: known?.unit, names: [name],
      labels: {[name]: known ? labelOf(known, name) : name}, help: known?.help};
  }

  function showChart() {
    charts.clear();
    const chart = charts.show(specOf(metric()), [run], 'train');
    fill(figure, chart?.element);
    const all = steps();
    const zoom = all.length > 2 * kAround
      ? [Math.max(all[0], step() - kAround), Math.min(all.at(-1), step() + kAround)] : null;
    charts.group.set({zoom, markedStep: step(), pinned: step(), events: run.eventsOf('train')});
  }

  function showWhy(why) {
    const unit = specOf(why.metric).unit;
    const value = (x) => format.value(x, unit);
    fill(head, h('dl', {class: 'figures'},
      [[`at step ${why.step}`, why.value], ['the step before', why.before]].map(([name, x]) =>
        h('div', {}, h('dt', {}, name), h('dd', {}, h('b', {}, value(x))))),
      why.mean_of > 1 && h('div', {},
        h('dt', {}, stepsBefore(why)),
        h('dd', {}, h('b', {}, value(why.mean)), ` ± ${value(why.std)}`))));
    fill(body, h('div', {},
      h('section', {class: 'why-sentences'}, h('h2', {}, 'In words'), h('ul', {},
        why.sentences.map(({text, metrics: names, samples}) => h('li', {}, text,
          h('span', {class: 'evidence'},
            names.map((name) => [' ', h('a', {href: pageLink('why', {metric: name,
              step: why.step})}, name)]),
            samples.slice(0, 4).map((id) => [' ', sampleLink(id)])))))),
      why.groups.length > 0 && groupTable(why, unit)),
    h('div', {}, why.tokens.length > 0 && tokenTable(why.tokens), hintsBox));
  }

  async function showHints() {
    const {hints} = await api.hints(run.id);
    fill(hintsBox, h('h2', {}, 'Over the whole run'),
      hints.length ? h('ul', {class: 'hints'}, hints.map(hintItem))
        : h('p', {class: 'empty'}, 'Nothing hints at reward hacking or looks wrong.'));
  }

  return {
    async update() {
      await run.want({phases: ['train']});
      const names = Object.keys(run.table('train').metrics).sort();
      if (metrics.options.length !== names.length) {
        fill(metrics, names.map((name) => h('option', {value: name}, name)));
      }
      metrics.value = metric();
      picker.update(['train'], steps(), 'train', step());
      if (!steps().length) {
        fill(body, h('p', {class: 'empty'}, 'No step is written yet.'));
        return;
      }
      if (metric() === shown.metric && step() === shown.step) return;
      const first = shown.metric === null;
      shown = {metric: metric(), step: step()};
      const mine = ++turn;
      showChart();
      try {
        const why = await api.why(run.id, metric(), step());
        if (mine === turn) showWhy(why);
      } catch (error) {
        if (mine !== turn) return;
        fill(head);
        fill(body, problem(error));
      }
      if (first) showHints().catch((error) => fill(hintsBox, problem(error)));
    },
    async refresh() {
      picker.update(['train'], steps(), 'train', shown.step ?? step());
    },
    close: () => charts.close(),
    keys: [
      {key: 'n', label: 'Next step', run: () => picker.next()},
      {key: 'p', label: 'Step before', run: () => picker.previous()},
    ],
  };
}

const sampleLink = (id, text = `sample ${id}`, more = {}) =>
  h('a', {href: pageLink('samples', {sample: id, ...more})}, text);

// By what a group's share is a share of: the head of its column, what it means, how it is written.
const kShares = {
  distance: ['Moved it by', (why, unit) => 'How far each group moved the value away from ' +
    `${stepsBefore(why)}. All groups of the step together make the difference, ` +
    `${format.change(why.value - why.mean, unit)}.`, format.change],
  value: ['Makes of it', () => 'What each group makes of the value: no step before it has one to ' +
    'compare with. All groups of the step together make the value.', format.value],
  spread: ['Share', () => 'Each group’s share of the spread of the rewards: of their squared ' +
    'distances from their mean.', format.percent],
  pull: ['Share', () => 'Each group’s share of what pulls on the policy: of the sum of ' +
    '|advantage| × tokens. The value itself is no mean over groups.', format.percent],
};

const stepsBefore = ({mean_of: count}) =>
  (count === 1 ? 'the step before' : `the mean of the ${count} steps before`);

function groupTable(why, unit) {
  const {groups} = why;
  const [title, note, words] = kShares[why.share_of];
  const most = Math.max(...groups.map(({share}) => Math.abs(share)), 1e-12);
  return h('section', {class: 'why-groups'}, h('h2', {}, 'Groups that made it'),
    h('p', {class: 'note'}, note(why, unit)),
    h('div', {class: 'scroll'}, h('table', {class: 'list'},
      h('thead', {}, h('tr', {},
        h('th', {scope: 'col', class: 'number'}, title), h('th', {class: 'share-cell'}),
        h('th', {scope: 'col'}, 'Task'), h('th', {scope: 'col', class: 'number'}, 'Right'),
        h('th', {scope: 'col', class: 'number'}, 'Reward'), h('th', {scope: 'col'}, 'Samples'))),
      h('tbody', {}, groups.map((group) => h('tr', {},
        h('td', {class: 'number'}, words(group.share, unit)),
        h('td', {class: 'share-cell', 'aria-hidden': 'true'}, h('i', {
          class: group.share < 0 ? 'down' : 'up',
          style: {'--share': Math.abs(group.share) / most}})),
        h('th', {scope: 'row'}, h('span', {class: 'question'}, group.task.question)),
        h('td', {class: 'number'}, `${group.right} of ${group.samples.length}`),
        h('td', {class: 'number'}, format.number(group.reward_mean)),
        h('td', {}, h('span', {class: 'chips'}, group.samples.map((sample) =>
          chip(sample, pageLink('samples', {sample: sample.sample})))))))))));
}

function tokenTable(tokens) {
  return h('section', {class: 'why-tokens'}, h('h2', {}, 'Tokens that stand out'),
    h('div', {class: 'scroll'}, h('table', {class: 'list'},
      h('thead', {}, h('tr', {}, h('th', {scope: 'col'}, 'Token'),
        h('th', {scope: 'col', class: 'number'}, 'Value'), h('th', {scope: 'col'}, 'What'),
        h('th', {scope: 'col'}, 'Where'))),
      h('tbody', {}, tokens.map((token) => h('tr', {},
        h('th', {scope: 'row'}, h('code', {class: 'token'},
          JSON.stringify(token.text).slice(1, -1))),
        h('td', {class: 'number'}, format.number(token.value)),
        h('td', {}, token.what),
        h('td', {}, sampleLink(token.sample, `sample ${token.sample}, token ${token.position}`,
          {token: token.position}))))))));
}
