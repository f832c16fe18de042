// A completion: its verdict and why, the question and the gold, its tokens in colour.
import {h} from './dom.js';
import * as format from './format.js';
import {legend, tokensView} from './tokens_view.js';
import {statusBadge} from './verdicts.js';

const kFinishes = {stop: 'stopped by itself', length: 'cut at the length limit',
  cancelled: 'cancelled', error: 'failed'};

// "correct 1 + format 0.1 = 1.1".
function rewardWords({total, parts}) {
  const names = Object.entries(parts);
  if (names.length < 2) return format.plain(total);
  return `${names.map(([name, value]) => `${name} ${format.plain(value)}`).join(' + ')} = ` +
    format.plain(total);
}

// `marked` is the position of a token to show, `path` where the run is.
export function samplePanel(sample, mode, {marked, path}) {
  const {task, verdict} = sample;
  const fact = (name, ...value) => h('div', {}, h('dt', {}, name), h('dd', {}, ...value));
  const parts = Object.entries(verdict.parts);
  const readout = h('p', {class: 'token-readout', role: 'status'});
  return h('article', {class: 'sample'},
    h('dl', {class: 'exchange'},
      fact('Question', h('p', {class: 'question-text'}, task.question)),
      fact('Gold', h('span', {class: 'mono'}, task.gold)),
      fact('Answer', h('span', {class: 'mono'}, verdict.extracted || '–'))),
    h('p', {class: 'verdict'}, statusBadge(sample.verdict.status), ' ', verdict.reason,
      parts.length > 0 && h('span', {class: 'parts'}, ' · ',
        parts.map(([name, value]) => `${name} ${format.plain(value)}`).join(', ')),
      h('span', {class: 'parts'}, ` · judged in ${format.seconds(verdict.elapsed_us / 1e6)}`)),
    h('dl', {class: 'facts'},
      fact('Reward', rewardWords(sample.reward)),
      fact('Advantage', format.signed(sample.advantage)),
      fact('Tokens', format.number(sample.tokens.ids.length)),
      fact('End', kFinishes[sample.finish] ?? sample.finish),
      fact('Temperature', format.number(sample.temperature)),
      fact('Policy version', sample.versions.map(({version}) => version).join(' → '))),
    legend(sample, mode), readout,
    tokensView(sample, mode, {marked, readout}),
    h('details', {class: 'prompt'},
      h('summary', {}, `Prompt as the model saw it (${sample.prompt_tokens} tokens)`),
      h('pre', {}, sample.prompt)),
    h('details', {class: 'prompt'},
      h('summary', {}, 'Task'),
      h('dl', {class: 'facts'}, fact('Id', h('span', {class: 'mono'}, task.id)),
        fact('Kind', task.kind), fact('Source', task.source),
        fact('Difficulty', format.number(task.difficulty)),
        fact('Seed', h('span', {class: 'mono'}, sample.seed))),
      task.data && h('pre', {}, task.data)),
    h('p', {class: 'replay'}, 'To draw it again: ',
      h('code', {}, `ponder replay ${path} ${sample.sample}`)));
}
