// The top of every page: which run, which page, and what the run is doing, in words.
import {$, fill, h} from './dom.js';
import {showHelp} from './keys.js';
import {at, go, pageLink, runLink} from './navigation.js';
import {kPages} from './url_state.js';

const kTitles = {overview: 'Overview', samples: 'Samples', why: 'Why', compare: 'Compare',
  system: 'System'};

export function showHeader(runs) {
  const {run, page} = at();
  document.title = run ? `${run} · ${kTitles[page]} · Ponder` : 'Runs · Ponder';
  const key = `${run}/${page}/${runs.map(({id}) => id).join()}`;
  if ($('#top').dataset.shown === key) {
    // The links carry what the reader has chosen since; the focus stays where it is.
    for (const link of $('#top').querySelectorAll('nav a')) link.href = pageLink(link.dataset.page);
    return;
  }
  $('#top').dataset.shown = key;
  const chosen = runs.find((one) => one.id === run);
  const picker = runs.length > 1 && h('select', {
    'aria-label': 'Run', onchange: (event) => go(runLink(event.target.value, page)),
  }, runs.map((one) => h('option', {value: one.id, selected: one.id === run}, one.id)));
  fill($('#top'),
    h('div', {class: 'bar'},
      h('a', {class: 'wordmark', href: '#/', title: 'All runs'}, 'Ponder'),
      run && (picker || h('span', {class: 'run-name'}, chosen?.name ?? run)),
      run && h('nav', {'aria-label': 'Pages'}, kPages.map((name) => h('a', {
        'data-page': name, href: pageLink(name), 'aria-current': name === page ? 'page' : null,
      }, kTitles[name]))),
      h('span', {class: 'bar-end'},
        h('button', {type: 'button', class: 'quiet', id: 'theme', title: 'Dark or light (d)',
          onclick: () => window.ponderTheme.toggle()}, 'Theme'),
        h('button', {type: 'button', class: 'quiet', title: 'Keyboard shortcuts (?)',
          'aria-label': 'Keyboard shortcuts', onclick: showHelp}, '?'))),
    run && h('div', {class: 'state', id: 'state'}));
}

const kStateWords = {running: 'Running', finished: 'Finished', failed: 'Failed',
  stopped: 'Stopped'};

// Of a run's state, or the error where it could not be had.
export function showState(state, error = null) {
  const node = $('#state');
  if (!node) return;
  if (error) {
    fill(node, h('span', {class: 'dot lost', 'aria-hidden': 'true'}), error.message);
    return;
  }
  const running = state.status === 'running';
  const share = running && state.steps > 0 ? Math.min(state.last_step / state.steps, 1) : 0;
  const text = state.text.charAt(0).toUpperCase() + state.text.slice(1);
  if (node.dataset.shown === text + share) return;
  node.dataset.shown = text + share;
  fill(node,
    h('span', {class: `dot ${state.status}`, title: kStateWords[state.status]}),
    h('span', {class: 'words'}, text),
    h('span', {class: 'progress', 'aria-hidden': 'true'},
      h('i', {style: {width: `${share * 100}%`}})));
}
