// A completion's tokens, coloured, with a line that tells everything about the one pointed at.
import {fill, h} from './dom.js';
import * as format from './format.js';
import {kModes, tokenTint} from './token_colors.js';

// Older programs kept no vocabulary.
const hasTexts = ({tokens, text}) => tokens.texts.length > 0 || text === '';

export function legend(sample, mode) {
  if (!hasTexts(sample)) {
    return h('p', {class: 'token-legend'}, h('span', {class: 'note'}, 'The store of this run has ' +
      'no vocabulary, as older programs wrote none: its tokens cannot be told apart or coloured.'));
  }
  const {legend: swatches, note} = kModes[mode];
  return h('p', {class: 'token-legend'},
    swatches.map(([tint, level, text]) => h('span', {class: `tint ${tint} l${level}`}, text)),
    h('span', {class: 'note'}, note));
}

// Line breaks are made visible: they are tokens too.
const visible = (text) => text.replace(/\n/g, '⏎\n');

function wordsOf(sample, i) {
  const {texts, ids, logprobs, entropies, sampled, clips} = sample.tokens;
  const version = sample.versions.filter(({begin}) => begin <= i).at(-1)?.version;
  const clip = clips[i] < 0 ? 'clipped below' : clips[i] > 0 ? 'clipped above' : 'not clipped';
  return [
    `token ${i} of ${ids.length}`, h('b', {class: 'mono'}, JSON.stringify(texts[i]).slice(1, -1)),
    `id ${ids[i]}`,
    ...(sampled[i] ? [
      `p ${format.percent(Math.exp(logprobs[i]))}`, `log-prob ${format.number(logprobs[i])}`,
      `entropy ${format.number(entropies[i])} nats`, clip,
      version === undefined ? '' : `policy version ${version}`,
    ] : ['not sampled by the model']),
  ].filter(Boolean).flatMap((words, k) => (k ? [' · ', words] : [words]));
}

// `sample` as the server sends it; `marked` is the position of a token to show.
export function tokensView(sample, mode, {marked = null, readout = null} = {}) {
  const {tokens} = sample;
  if (!hasTexts(sample)) return h('div', {class: 'tokens'}, sample.text);
  const switches = new Map(sample.versions.slice(1).map(({begin, version}) => [begin, version]));
  const spans = tokens.texts.map((text, i) => {
    const [tint, level] = tokenTint(mode, tokens, i, sample);
    return h('span', {class: `tint ${tint} l${level}`, 'data-i': i}, visible(text));
  });
  const text = h('div', {class: 'tokens', tabindex: readout ? 0 : null, role: 'group',
    'aria-label': `Completion of ${format.plural(spans.length, 'token')}` +
      (readout ? '; arrow keys go from token to token' : '')});
  for (const [i, span] of spans.entries()) {
    if (switches.has(i)) {
      text.append(h('sup', {class: 'version', title: 'from here on a newer policy sampled'},
        `v${switches.get(i)}`));
    }
    text.append(span);
  }
  let current = -1;
  const point = (i) => {
    if (i === current || !spans[i]) return;
    spans[current]?.classList.remove('current');
    current = i;
    spans[i].classList.add('current');
    if (readout) fill(readout, wordsOf(sample, i));
  };
  if (readout) {
    fill(readout, 'Point at a token to read about it.');
    text.addEventListener('pointerover', (event) => {
      const {i} = event.target.dataset;
      if (i !== undefined) point(Number(i));
    });
    text.addEventListener('keydown', (event) => {
      const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (!by) return;
      event.preventDefault();
      point(Math.min(Math.max(current + by, 0), spans.length - 1));
    });
  }
  if (marked !== null && spans[marked]) {
    point(marked);
    spans[marked].classList.add('marked');
    requestAnimationFrame(() => spans[marked].scrollIntoView({block: 'center'}));
  }
  return text;
}
