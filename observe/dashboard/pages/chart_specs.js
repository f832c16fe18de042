// Which curves belong into one chart, in which unit, and what they mean.
//   names:  metrics, in the order of the legend; "reward/*" stands for all others below "reward/"
//   kind:   "lines", "stack" (parts of a whole) or "interval" (with NAME_low and NAME_high)
//   unit:   "share", "s", "bytes" or a word
//   phase:  where it is not the phase that the page shows
//   colors: where a meaning has a colour of its own
//   source: "readings" of the machine in place of metrics; `match` chooses them

export const kTrainSections = [
  {title: 'Learning', charts: [
    {id: 'reward', title: 'Reward', kind: 'lines', names: ['reward/mean', 'reward/*'],
      without: ['reward/std'], wide: true,
      help: 'Mean over the completions of a step. The parts are weighted and sum to it.'},
    {id: 'solved', title: 'Groups', kind: 'stack', unit: 'share',
      names: ['groups/all_wrong', 'groups/useful', 'groups/all_right'],
      labels: {'groups/useful': 'mixed'},
      colors: {'groups/all_right': 0, 'groups/useful': 5, 'groups/all_wrong': 1},
      help: 'Groups whose answers are all right, all wrong, or mixed: only mixed ones teach.'},
    {id: 'held-out', title: 'Held-out accuracy', kind: 'interval', unit: 'share',
      phase: 'eval/train', names: ['eval/greedy_accuracy', 'eval/sampled_accuracy'],
      labels: {'eval/greedy_accuracy': 'greedy', 'eval/sampled_accuracy': 'sampled'},
      help: 'Of tasks that are never trained on; the band is the 95 % Wilson interval.'},
  ]},
  {title: 'Answers', charts: [
    {id: 'length', title: 'Length', kind: 'lines', unit: 'tokens', names: ['length/mean'],
      help: 'Mean tokens of a completion.'},
    {id: 'truncated', title: 'Truncated', kind: 'lines', unit: 'share',
      names: ['length/truncated'], help: 'Completions that ran into the length limit.'},
    {id: 'entropy', title: 'Entropy', kind: 'lines', unit: 'nats a token',
      names: ['policy/entropy'], help: 'Mean over sampled tokens. Near 0: nothing is explored.'},
  ]},
  {title: 'Update', charts: [
    {id: 'clip', title: 'Clipped tokens', kind: 'lines', unit: 'share',
      names: ['policy/clip_low', 'policy/clip_high'],
      labels: {'policy/clip_low': 'below', 'policy/clip_high': 'above'},
      help: 'Tokens whose ratio left the trust region, so that they have no gradient.'},
    {id: 'kl', title: 'KL divergence', kind: 'lines', unit: 'nats a token',
      names: ['policy/kl', 'policy/behaviour_kl'],
      labels: {'policy/kl': 'from the reference', 'policy/behaviour_kl': 'from the sampler'},
      help: 'How far the policy went from the reference, and from what sampled the tokens.'},
    {id: 'gradient', title: 'Gradient norm', kind: 'lines', names: ['optimizer/gradient_norm'],
      help: 'Before clipping.'},
    {id: 'loss', title: 'Loss', kind: 'lines', names: ['loss/total', 'loss/*'],
      help: 'What is minimised. In reinforcement learning it need not fall.'},
    {id: 'learning-rate', title: 'Learning rate', kind: 'lines',
      names: ['optimizer/learning_rate'], help: 'Of the step’s last update.'},
    {id: 'staleness', title: 'Staleness', kind: 'lines', unit: 'policy versions',
      names: ['staleness/mean', 'staleness/max'],
      help: 'How much older than the policy trained the policy was that sampled a token.'},
  ]},
  {title: 'Trust', charts: [
    {id: 'verdicts', title: 'Verdicts', kind: 'stack', unit: 'completions',
      names: ['verdict/UNPARSEABLE', 'verdict/TIMEOUT', 'verdict/NO_ANSWER', 'verdict/*',
        'verdict/WRONG', 'verdict/CORRECT'],
      colors: {'verdict/CORRECT': 0, 'verdict/WRONG': 1, 'verdict/NO_ANSWER': 5,
        'verdict/UNPARSEABLE': 3, 'verdict/TIMEOUT': 4},
      help: 'What the verifiers said, by status.'},
    {id: 'exactness', title: 'Exactness', kind: 'lines', unit: 'nats',
      names: ['exactness/logprob_max_abs_diff'],
      labels: {'exactness/logprob_max_abs_diff': 'greatest difference'},
      help: 'Between the learner’s and the sampler’s log-probs of the same token. It is to be 0.'},
    {id: 'dropped', title: 'Dropped and retried', kind: 'lines', unit: 'completions',
      names: ['dropped/total', 'verifier/retries', 'dropped/*', 'rollout/reissued_leases'],
      labels: {'dropped/total': 'dropped', 'verifier/retries': 'judged again',
        'rollout/reissued_leases': 'leases given again'},
      help: 'Without a verdict they are never scored; the log says why.'},
  ]},
  {title: 'Speed', charts: [
    {id: 'phases', title: 'Time of a step', kind: 'stack', unit: 's', wide: true,
      names: ['time/publish_s', 'time/learn_s', 'time/wait_for_verdicts_s', 'time/generate_s'],
      labels: {'time/publish_s': 'publish', 'time/learn_s': 'learn',
        'time/wait_for_verdicts_s': 'wait for verdicts', 'time/generate_s': 'generate'},
      help: 'What the loop waited for. Where steps overlap, generating goes on beside learning.'},
    {id: 'speed', title: 'Tokens per second', kind: 'lines', unit: 'tokens/s',
      names: ['speed/generate_tokens_per_s', 'speed/learn_tokens_per_s'],
      labels: {'speed/generate_tokens_per_s': 'generated', 'speed/learn_tokens_per_s': 'learnt'},
      help: 'Learnt counts the tokens with a gradient.'},
    {id: 'verify', title: 'Verifying', kind: 'lines', unit: 's',
      names: ['time/verify_s', 'verifier/*'], without: ['verifier/retries'],
      labels: {'time/verify_s': 'all of the step'},
      help: 'How long the verifiers took.'},
    {id: 'memory', title: 'Memory', kind: 'lines', unit: 'bytes', source: 'readings',
      wide: true, match: /^memory\/|^gpu\d+\/memory_used/,
      help: 'Read off each machine while the run goes on.'},
  ]},
];

const kSftSections = [
  {title: 'Cold start', charts: [
    {id: 'loss', title: 'Loss', kind: 'lines', unit: 'nats a token',
      names: ['loss/supervised', 'loss/*'], wide: true,
      help: 'Cross-entropy on worked solutions.'},
    {id: 'entropy', title: 'Entropy', kind: 'lines', unit: 'nats a token',
      names: ['policy/entropy'], help: 'Mean over the tokens learnt from.'},
    {id: 'gradient', title: 'Gradient norm', kind: 'lines', names: ['optimizer/gradient_norm'],
      help: 'Before clipping.'},
    {id: 'learning-rate', title: 'Learning rate', kind: 'lines',
      names: ['optimizer/learning_rate'], help: 'Of the step’s last update.'},
    {id: 'speed', title: 'Tokens per second', kind: 'lines', unit: 'tokens/s',
      names: ['speed/learn_tokens_per_s'], labels: {'speed/learn_tokens_per_s': 'learnt'},
      help: 'Tokens with a gradient.'},
  ]},
];

export const sectionsOf = (phase) => (phase === 'sft' ? kSftSections : kTrainSections);

// The metrics of `spec` among those that there are.
export function namesOf(spec, existing) {
  const listed = new Set([...spec.names, ...(spec.without ?? [])]);
  return spec.names.flatMap((name) => {
    if (!name.endsWith('/*')) return existing.includes(name) ? [name] : [];
    const prefix = name.slice(0, -1);
    return existing.filter((other) => other.startsWith(prefix) && !listed.has(other));
  });
}

export const labelOf = (spec, name) =>
  spec.labels?.[name] ?? name.slice(name.indexOf('/') + 1).replaceAll('_', ' ').toLowerCase();

// A chart of its own for each metric that no chart of `sections` shows.
export function otherCharts(sections, existing) {
  const shown = new Set(sections.flatMap(({charts}) => charts.flatMap((spec) =>
    spec.names ? namesOf(spec, existing) : [])));
  return existing.filter((name) => !shown.has(name)).map((name) => ({
    id: name, title: name, kind: 'lines', names: [name], unit: unitOf(name), labels: {},
  }));
}

function unitOf(name) {
  if (name.startsWith('time/')) return 's';
  if (name.endsWith('tokens') || name.endsWith('rows')) return 'tokens';
  return '';
}
