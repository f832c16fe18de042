// Which samples to list. Everything is in the address.
import {debounce, fill, h} from './dom.js';
import {param, setView} from './navigation.js';
import {kStatusNames, statusWord} from './verdicts.js';

const kFilterNames = ['status', 'finish', 'kind', 'text', 'reward_min', 'reward_max',
  'tokens_min', 'tokens_max', 'outcome'];

export const filters = () =>
  Object.fromEntries(kFilterNames.map((name) => [name, param(name)]));

const kTypingMs = 250;

export function filterBar() {
  const inputs = {};
  const set = (name, value, options) => setView({[name]: value, sample: null}, options);
  const select = (name, title, choices) => {
    inputs[name] = h('select', {onchange: (event) => set(name, event.target.value)},
      h('option', {value: ''}, 'any'),
      choices.map(([value, text]) => h('option', {value}, text)));
    return h('label', {}, title, inputs[name]);
  };
  const typed = (name, properties) => {
    inputs[name] = h('input', {...properties, autocomplete: 'off', spellcheck: 'false',
      oninput: debounce((event) => set(name, event.target.value, {replace: true}), kTypingMs)});
    return inputs[name];
  };
  const range = (name, title, step) => h('span', {class: 'range'}, h('span', {}, title),
    typed(name + '_min', {type: 'number', step, placeholder: 'from',
      'aria-label': `${title} from`}),
    typed(name + '_max', {type: 'number', step, placeholder: 'to', 'aria-label': `${title} to`}));
  const clear = h('button', {type: 'button', class: 'quiet', onclick: () =>
    setView(Object.fromEntries(kFilterNames.map((name) => [name, null])))}, 'clear');
  const element = h('form', {class: 'filters', role: 'search', 'aria-label': 'Filter samples',
    onsubmit: (event) => event.preventDefault()},
  typed('text', {type: 'search', placeholder: 'text in question or answer',
    'aria-label': 'Text in question or answer', id: 'filter-text'}),
  select('status', 'Verdict', kStatusNames.map((name) => [name, statusWord(name)])),
  select('outcome', 'Group', [['all_right', 'all right'], ['mixed', 'mixed'],
    ['all_wrong', 'all wrong']]),
  select('finish', 'End', [['stop', 'stopped'], ['length', 'at the limit']]),
  select('kind', 'Kind', []),
  range('reward', 'Reward', 'any'), range('tokens', 'Tokens', 1), clear);
  return {
    element,
    focusText: () => inputs.text.focus(),
    // `kinds` of tasks that there are.
    update(kinds) {
      const known = [...inputs.kind.options].slice(1).map((option) => option.value);
      const all = [...new Set([...known, ...kinds, param('kind')])].filter(Boolean).sort();
      if (all.join() !== known.join()) {
        fill(inputs.kind, h('option', {value: ''}, 'any'),
          all.map((kind) => h('option', {value: kind}, kind)));
      }
      for (const [name, input] of Object.entries(inputs)) {
        if (document.activeElement !== input) input.value = param(name);
      }
      inputs.outcome.disabled = param('scope') === 'all';
      clear.hidden = kFilterNames.every((name) => !param(name));
    },
  };
}
