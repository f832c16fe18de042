// What the colour of a token may mean. Each mode puts a token on a level from 0 (plain) to 7 of one
// of two tints: warm or cool.
import * as format from './format.js';

const kLevels = 7;

function level(value, bounds) {
  let i = 0;
  while (i < kLevels && value >= bounds[i]) ++i;
  return i;
}

const kSurprise = [0.95, 0.8, 0.5, 0.25, 0.1, 0.03, 0.01].map((p) => -Math.log(p));
const kEntropy = [0.05, 0.2, 0.5, 1, 1.5, 2, 3];
const kAdvantage = [0.05, 0.25, 0.5, 0.75, 1, 1.5, 2];

// tint(tokens, i, sample) -> [tint, level]; legend: [tint, level, text] of each swatch.
export const kModes = {
  logprob: {
    title: 'Log-prob',
    tint: (tokens, i) => ['warm', level(-tokens.logprobs[i], kSurprise)],
    legend: [['warm', 0, 'p over 95 %'], ['warm', 1, '80'], ['warm', 2, '50'], ['warm', 3, '25'],
      ['warm', 4, '10'], ['warm', 5, '3'], ['warm', 6, '1'], ['warm', 7, 'less']],
    note: 'The darker, the less likely the token was when it was drawn.',
  },
  entropy: {
    title: 'Entropy',
    tint: (tokens, i) => ['cool', level(tokens.entropies[i], kEntropy)],
    legend: [['cool', 0, 'under 0.05 nats'], ...kEntropy.slice(1).map((bound, i) =>
      ['cool', i + 1, String(bound)]), ['cool', 7, 'more']],
    note: 'The darker, the more open the choice was.',
  },
  advantage: {
    title: 'Advantage',
    tint: (tokens, i, sample) => [sample.advantage < 0 ? 'warm' : 'cool',
      level(Math.abs(sample.advantage), kAdvantage)],
    legend: [['warm', 7, `${format.plain(-2)} and less`], ['warm', 5, format.plain(-1)],
      ['warm', 3, format.plain(-0.5)], ['cool', 0, '0'], ['cool', 3, '+0.5'], ['cool', 5, '+1'],
      ['cool', 7, '+2 and more']],
    note: 'One for all sampled tokens of a completion: cool ones are pushed up, warm ones down.',
  },
  clip: {
    title: 'Clipping',
    tint: (tokens, i) => {
      const clip = tokens.clips[i] ?? 0;
      return [clip < 0 ? 'cool' : 'warm', clip ? 6 : 0];
    },
    legend: [['cool', 6, 'clipped below'], ['warm', 6, 'clipped above'],
      ['warm', 0, 'not clipped']],
    note: 'Clipped tokens have no gradient.',
  },
};

export const kModeNames = Object.keys(kModes);

export function tokenTint(mode, tokens, i, sample) {
  if (!tokens.sampled[i]) return ['given', 0];  // tool results and later turns
  return kModes[mode].tint(tokens, i, sample);
}
