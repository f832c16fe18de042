// The samples of a step or of all steps, and the one that is looked at.
import * as api from './api.js';
import {fill, h, problem} from './dom.js';
import {groupPanel} from './group_panel.js';
import {go, param, setView, viewLink} from './navigation.js';
import {filterBar, filters} from './sample_filters.js';
import {groupRow, mark, sampleRow} from './sample_list.js';
import {samplePanel} from './sample_panel.js';
import {segmented} from './segmented.js';
import {stepPicker} from './step_picker.js';
import {taskPanel} from './task_panel.js';
import {kModeNames, kModes} from './token_colors.js';

const kPage = 60;
const kPhases = ['train', 'eval/train', 'eval/untrained'];  // that have samples
const kOrders = [['step', 'by step'], ['reward_up', 'worst first'], ['reward_down', 'best first'],
  ['length_down', 'longest first'], ['length_up', 'shortest first']];
const kViews = [['', 'Completion', 'c'], ['group', 'Side by side', 'g'],
  ['task', 'Task across steps', 'h']];

export function samplesPage(root, session, run) {
  const picker = stepPicker(({phase, step}) => setView(
    {phase: phase === 'train' ? null : phase, step, sample: null, token: null}));
  const bar = filterBar();
  const scope = segmented('Where to look', [['', 'One step'], ['all', 'All steps']],
    (value) => setView({scope: value, sample: null, order: null, outcome: null}));
  const order = h('select', {'aria-label': 'Order',
    onchange: (event) => setView({order: event.target.value, sample: null})},
  kOrders.map(([value, text]) => h('option', {value}, text)));
  const count = h('p', {class: 'count', role: 'status'});
  const list = h('ol', {class: 'sample-list', tabindex: -1});
  const more = h('button', {type: 'button', class: 'more', hidden: true}, 'Show more');
  const views = segmented('View', kViews.map(([view, text, key]) => [view, text, `(${key})`]),
    (view) => setView({view}));
  const modes = segmented('Token colour', kModeNames.map((mode) => [mode, kModes[mode].title]),
    (mode) => setView({color: mode === kModeNames[0] ? null : mode}));
  modes.element.classList.add('modes');
  const title = h('h2', {class: 'sample-title'});
  const back = h('a', {class: 'back'}, '‹ list');
  const panel = h('div', {class: 'panel'});
  root.append(h('h1', {class: 'hidden'}, 'Samples'),
    h('div', {class: 'browse'}, h('div', {class: 'where'}, scope.element, picker.element, order),
      bar.element, count, list, more),
    h('div', {class: 'detail'}, h('div', {class: 'detail-bar'}, back, title, views.element,
      modes.element), panel));

  const {path} = session.runs.find(({id}) => id === run.id) ?? {path: run.id};
  const phases = () => kPhases.filter((one) => run.phases().includes(one));
  const phase = () => param('phase', phases()[0] ?? 'train');
  const mode = () => (kModeNames.includes(param('color')) ? param('color') : kModeNames[0]);
  const stepsOf = (one) => run.steps.filter((info) => info.phase === one).map(({step}) => step);
  let shown = {list: null, panel: null};
  let found = [];  // ids in the order of the list
  // An answer that comes late is not shown: of the page, the panel, the list.
  let pageTurn = 0;
  let turn = 0;
  let listTurn = 0;
  let listed = 0;  // the step of the list: it stays while later ones are written

  // The last step without one in the address; a sample alone tells its own.
  async function place() {
    if (param('step') === '' && param('sample') && param('scope') !== 'all') {
      const sample = await api.sample(run.id, param('sample'));
      setView({step: sample.step, phase: sample.phase === 'train' ? null : sample.phase},
        {replace: true});
      return null;
    }
    const steps = stepsOf(phase());
    return param('step') === '' ? steps.at(-1) ?? 0 : Number(param('step'));
  }

  async function showStep(step) {
    const mine = ++listTurn;
    const {groups} = await api.groups(run.id, {phase: phase(), step, ...filters()});
    if (mine !== listTurn) return;
    found = groups.flatMap((group) => group.samples)
      .filter((sample) => sample.match !== false).map(({sample}) => sample);
    count.textContent = groups.length === 0
      ? 'Nothing in this step is like that.'
      : `${groups.length === 1 ? '1 group' : `${groups.length} groups`}, ` +
        `${found.length === 1 ? '1 sample' : `${found.length} samples`}`;
    fill(list, groups.map(groupRow));
    more.hidden = true;
    bar.update(groups.map(({task}) => task.kind));
  }

  async function showSearch() {
    const params = {phase: phase(), ...filters(), outcome: null, order: param('order', 'step'),
      limit: kPage};
    const mine = ++listTurn;
    const append = async (offset) => {
      const answer = await api.samples(run.id, {...params, offset});
      if (mine !== listTurn) return;
      if (offset === 0) {  // until then the list before stays
        found = [];
        list.replaceChildren();
      }
      found.push(...answer.samples.map(({sample}) => sample));
      list.append(...answer.samples.map(sampleRow));
      more.hidden = !answer.more;
      const cut = 'the search took too long; say more about the samples';
      count.textContent = found.length || !answer.cut_short
        ? `${found.length}${answer.more ? '+' : ''} samples${answer.cut_short ? `; ${cut}` : ''}`
        : `Nothing found: ${cut}.`;
    };
    await append(0);
    more.onclick = async () => {
      more.disabled = true;
      await append(found.length).catch((error) => { count.textContent = error.message; });
      more.disabled = false;
    };
    bar.update([]);
  }

  function showBar(step) {
    const everywhere = param('scope') === 'all';
    scope.update(param('scope'));
    views.update(param('view'));
    modes.update(mode());
    modes.element.hidden = param('view') === 'task';
    order.hidden = !everywhere;
    order.value = param('order', 'step');
    picker.element.hidden = everywhere;
    picker.update(phases(), stepsOf(phase()), phase(), step);
    back.href = viewLink({sample: null, view: null, token: null});
    root.classList.toggle('chosen', param('sample') !== '' || param('view') !== '');
  }

  async function showPanel() {
    const id = Number(param('sample')) || found[0];
    const view = param('view');
    const key = JSON.stringify([id, view, mode(), param('token')]);
    if (key === shown.panel) return;
    shown.panel = key;
    const mine = ++turn;
    if (!id) {
      title.textContent = '';
      fill(panel, h('p', {class: 'empty'}, 'No sample to show.'));
      return;
    }
    const sample = await api.sample(run.id, id);
    const content = view === 'group' ? groupPanel(run, sample, mode())
      : view === 'task' ? await taskPanel(run, sample)
        : samplePanel(sample, mode(), {
          marked: param('token') === '' ? null : Number(param('token')), path});
    if (mine !== turn) return;
    title.textContent = `Sample ${id}`;
    fill(panel, content);
    panel.scrollTop = 0;
    mark(list, id);
    const next = found[found.indexOf(id) + 1];
    if (next) api.sample(run.id, next).catch(() => {});  // asked for early
  }

  function moveBy(by) {
    const id = Number(param('sample')) || found[0];
    const to = found[found.indexOf(id) + by];
    if (to) go(viewLink({sample: to, token: null}), {replace: true});
  }

  const cycle = () => {
    const next = (kModeNames.indexOf(mode()) + 1) % kModeNames.length;
    setView({color: next ? kModeNames[next] : null}, {replace: true});
  };

  async function update() {
    const mine = ++pageTurn;
    const step = await place();
    if (step === null) return;
    if (!phases().length) {
      fill(panel, h('p', {class: 'empty'}, 'No step is written yet.'));
      return;
    }
    const everywhere = param('scope') === 'all';
    listed = step;
    showBar(step);
    const which = everywhere ? param('order') : step;
    const key = JSON.stringify([everywhere, phase(), which, filters()]);
    try {
      if (key !== shown.list) {
        shown.list = key;
        await (everywhere ? showSearch() : showStep(step));
        shown.panel = null;
      }
      await showPanel();
    } catch (error) {
      if (mine !== pageTurn) return;
      fill(panel, problem(error));
      shown = {list: null, panel: null};
    }
  }

  return {
    update,
    async refresh() {
      if (shown.list) showBar(listed);
      else await update();
    },
    close() {},
    keys: [
      {key: 'j', label: 'Next sample', run: () => moveBy(1)},
      {key: 'k', label: 'Sample before', run: () => moveBy(-1)},
      {key: 'n', label: 'Next step', run: () => picker.next()},
      {key: 'p', label: 'Step before', run: () => picker.previous()},
      ...kViews.map(([view, text, key]) => ({key, label: text,
        run: () => setView({view: view || null}, {replace: true})})),
      {key: 'v', label: 'Colour tokens by the next measure', run: cycle},
      {key: '/', label: 'Search text', run: () => bar.focusText()},
      {key: 'Escape', label: 'Back to the list', run: () => setView({sample: null, view: null})},
    ],
  };
}
