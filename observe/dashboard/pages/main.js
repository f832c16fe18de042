// Shows the page that the address names and keeps it up to date.
import * as api from './api.js';
import {comparePage} from './compare_page.js';
import {$, fill, h, problem} from './dom.js';
import {showHeader, showState} from './header.js';
import {listenToKeys, setGlobalKeys, setPageKeys, showHelp} from './keys.js';
import {poll} from './live.js';
import {at, followAddress, go, pageLink, runLink} from './navigation.js';
import {overviewPage} from './overview_page.js';
import {RunData} from './run_data.js';
import {runsPage} from './runs_page.js';
import {samplesPage} from './samples_page.js';
import {systemPage} from './system_page.js';
import {kPages} from './url_state.js';
import {whyPage} from './why_page.js';

// Each makes {update(), refresh(), close(), keys} in `root`: update after a change of the address,
// refresh after one of the run.
const kMakers = {overview: overviewPage, samples: samplesPage, why: whyPage, compare: comparePage,
  system: systemPage};

// Asked for while the list of runs comes.
const kNeeds = {
  overview: {phases: ['train', 'eval/train'], readings: true},
  samples: {},
  why: {phases: ['train']},
  compare: {phases: ['train', 'eval/train']},
  system: {phases: ['train'], readings: true},
};

const session = {
  runs: [],
  data: new Map(),  // RunData by id
  run(id) {
    if (!this.data.has(id)) this.data.set(id, new RunData(id));
    return this.data.get(id);
  },
};
// Without a view while it is made, without a page where that failed.
let shown = {run: null, page: null, view: null};
let turn = 0;  // counts the pages: what comes late for one that is left is dropped

async function show() {
  const {run, page} = at();
  const key = run ? page : 'runs';
  if (shown.run === run && shown.page === key && shown.view) {
    showHeader(session.runs);
    if (run) showState(session.run(run).state);
    await guarded(turn, () => shown.view.update());
    return;
  }
  const mine = ++turn;
  shown.view?.close();
  shown = {run, page: key, view: null};
  setPageKeys([]);
  await guarded(mine, async () => {
    const [{runs}] = await Promise.all([
      session.runs.length ? session : api.runs(),
      run && session.run(run).want(kNeeds[page]),
    ]);
    session.runs = runs;
    if (mine !== turn) return;
    if (!run && session.runs.length === 1) {
      go(runLink(session.runs[0].id), {replace: true});
      return;
    }
    showHeader(session.runs);
    if (run) showState(session.run(run).state);
    const root = h('div', {class: `page-${key}`});
    const view = (run ? kMakers[page] : runsPage)(root, session, run && session.run(run));
    shown.view = view;
    setPageKeys(view.keys ?? []);
    await view.update();
    if (mine !== turn) return;
    fill($('#page'), root);
    scrollTo(0, 0);
    document.body.dataset.ready = key;
  });
}

async function guarded(mine, work) {
  try {
    await work();
  } catch (error) {
    if (mine !== turn) return;
    if (!shown.view) showHeader(session.runs);
    fill($('#page'), problem(error));
    shown.view?.close();
    shown = {run: null, page: null, view: null};
  }
}

async function refresh() {
  const {run} = at();
  try {
    if (!shown.page) await show();  // what failed may do now
    if (!run) {
      await shown.view?.refresh();
      return session.runs.some((one) => one.status === 'running');
    }
    const data = session.run(run);
    const changed = await data.refresh();
    if (at().run !== run) return true;
    showState(data.state);
    if (changed) await shown.view?.refresh();
    return data.state.status === 'running';
  } catch (error) {
    showState(null, error);
    return true;
  }
}

setGlobalKeys([
  ...kPages.map((page, i) => ({key: String(i + 1), label: `Page ${page}`,
    run: () => at().run && go(pageLink(page))})),
  {key: 'r', label: 'All runs', run: () => go('#/')},
  {key: 'd', label: 'Dark or light', run: () => window.ponderTheme.toggle()},
  {key: '?', label: 'These keys', run: showHelp},
]);
listenToKeys();
$('[data-skip]').addEventListener('click', (event) => {
  event.preventDefault();
  $('#page').focus();
});
followAddress(show);
poll(refresh);
