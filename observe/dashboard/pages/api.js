// Asks the server. What never changes (samples, groups of a written step) is kept for a while.

const kKept = 200;
const kept = new Map();

const runPath = (run, path) => `/api/runs/${encodeURIComponent(run)}/${path}`;

// Fails with the server's own sentence.
async function get(path) {
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    throw new Error('The dashboard does not answer. Is `ponder dashboard` still running?');
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(body?.error ?? `The dashboard answered ${answer.status}.`);
  return body;
}

async function getKept(path) {
  if (!kept.has(path)) {
    if (kept.size >= kKept) kept.delete(kept.keys().next().value);
    const asked = get(path);
    kept.set(path, asked);
    asked.catch(() => kept.delete(path));
  }
  return kept.get(path);
}

// A resumed run writes steps again.
export const forget = () => kept.clear();

export function query(params) {
  return Object.entries(params)
    .filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join('&');
}

export const runs = () => get('/api/runs');
export const compare = (ids) => get('/api/compare?' + query({runs: ids.join(',')}));
export const state = (run) => get(runPath(run, 'state'));
export const metrics = (run, params) => get(runPath(run, 'metrics?' + query(params)));
export const events = (run, after) => get(runPath(run, 'events?' + query({after})));
export const steps = (run) => get(runPath(run, 'steps'));
export const config = (run) => getKept(runPath(run, 'config'));
export const hints = (run) => get(runPath(run, 'hints'));
export const system = (run, after) => get(runPath(run, 'system?' + query({after})));
export const groups = (run, params) => getKept(runPath(run, 'groups?' + query(params)));
export const sample = (run, id) => getKept(runPath(run, `sample/${encodeURIComponent(id)}`));
export const samples = (run, params) => get(runPath(run, 'samples?' + query(params)));
export const task = (run, id) => get(runPath(run, 'task?' + query({id})));
export const why = (run, metric, step) => getKept(runPath(run, 'why?' + query({metric, step})));
export const tableLink = (run, format, phase) =>
  runPath(run, `export.${format}?` + query({phase}));
