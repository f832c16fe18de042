// Verdict statuses as people see them: a sign, a word, a colour class. The sign tells them apart
// without colours.
import {h} from './dom.js';
import * as format from './format.js';

const kStatuses = {
  CORRECT: ['✓', 'right', 'right'],
  WRONG: ['×', 'wrong', 'wrong'],
  NO_ANSWER: ['–', 'no answer', 'none'],
  UNPARSEABLE: ['?', 'unparseable', 'none'],
  TIMEOUT: ['t', 'timeout', 'none'],
  INVALID_GOLD: ['!', 'invalid gold', 'fault'],
  INTERNAL: ['!', 'internal error', 'fault'],
};

export const kStatusNames = Object.keys(kStatuses);
export const statusWord = (status) => kStatuses[status]?.[1] ?? 'no verdict';

export function statusBadge(status) {
  const [sign, word, kind] = kStatuses[status] ?? ['·', 'no verdict', 'none'];
  return h('span', {class: `badge ${kind}`}, h('i', {'aria-hidden': 'true'}, sign), word);
}

// A sample as a small square that leads to it.
export function chip(sample, href, selected = false) {
  const [sign, word, kind] = kStatuses[sample.status] ?? ['·', 'no verdict', 'none'];
  const label = `Sample ${sample.index}: ${word}, reward ${format.plain(sample.reward)}, ` +
    `advantage ${format.signed(sample.advantage)}, ${format.plural(sample.tokens, 'token')}`;
  return h('a', {
    class: `chip ${kind} ${sample.match === false ? 'off' : ''}`, href, title: label,
    'aria-label': label, 'data-sample': sample.sample,
    'aria-current': selected ? 'true' : null,
  }, sign);
}
