// The pages' pure functions, run in the browser that serves them by dashboard_browser_test.py:
// answers with what is not as expected.
const done = arguments[0];
(async () => {
  const failed = [];
  const same = (what, found, expected) => {
    if (JSON.stringify(found) !== JSON.stringify(expected)) {
      failed.push(`${what}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
    }
  };
  const {smooth} = await import('/assets/smooth.js');
  same('smoothing off', smooth([1, null, 3], 0), [1, null, 3]);
  same('a constant stays', smooth([2, 2, 2, 2], 10).map((x) => x.toFixed(9)),
    Array(4).fill('2.000000000'));
  const spike = smooth([0, 0, 0, 1, 0, 0, 0], 5);
  same('nothing is delayed', spike.indexOf(Math.max(...spike)), 3);
  same('both sides weigh the same', spike[2].toFixed(9), spike[4].toFixed(9));
  same('weights 1/4 1/2 1 1/2 1/4', smooth([0, 0, 1, 0, 0], 3)[2].toFixed(4), '0.4000');
  same('gaps stay', smooth([1, null, 1], 5)[1], null);
  const format = await import('/assets/format.js');
  same('number', [0, 0.09999, 52.13, 7782, -0.5, 2.4e-5, 1e9, null, NaN].map((x) =>
    format.number(x)), ['0', '0.100', '52.1', '7\u2009782', '\u22120.500', '2.4e\u22125',
    '1.00e9', '–', '–']);
  same('plain', [1.1, 0.1, 100, 1].map(format.plain), ['1.1', '0.1', '100', '1']);
  same('percent', [0, 1, 0.4837, 0.0012].map(format.percent),
    ['0\u2009%', '100\u2009%', '48.4\u2009%', '0.12\u2009%']);
  same('seconds', [0.00043, 0.52, 34.6, 600, 8000].map(format.seconds), ['430\u2009µs',
    '520\u2009ms', '34.6\u2009s', '10\u2009min', '2\u2009h 13\u2009min']);
  same('bytes', [12, 2371584].map(format.bytes), ['12\u2009B', '2.26\u2009MiB']);
  const {pickCurves} = await import('/assets/curves.js');
  const readings = [[1, 5, 'learner', 'gpu0/power_watts', 7], [2, 5, 'learner', 'gpu1/power_watts', 8],
    [3, 9, 'learner', 'gpu1/power_watts', 9], [4, 9, 'learner', 'cpu/process_percent', 1]];
  const powers = pickCurves({source: 'readings', axis: 'time', match: /^gpu\d+\/power_watts$/},
    {readings}, null);
  same('a curve for each GPU', [powers.xs, powers.series.map(({label, values}) => [label, values])],
    [[5, 9], [['learner gpu0', [7, null]], ['learner gpu1', [8, 9]]]]);
  const url = await import('/assets/url_state.js');
  const view = {run: 'a b~2', page: 'samples', params: {text: '50 % & "x"', step: '7'}};
  same('an address holds its view', url.parseLocation(url.formatLocation(view)), view);
  same('a metric reads well', url.formatLocation({run: 'r', page: 'why',
    params: {metric: 'reward/mean', none: null}}), '#/r/why?metric=reward/mean');
  same('a broken address', url.parseLocation('#/r/no?%=1&x'),
    {run: 'r', page: 'overview', params: {'%': '1'}});
  same('no address', url.parseLocation('').run, '');
  same('ranges', ['3-9', '9-3', 'x', '0.5-2'].map(url.parseRange), [[3, 9], null, null, [0.5, 2]]);
  const thin = await import('/assets/thin.js');
  const many = Array.from({length: 100000}, (_, i) => (i === 31415 ? 9 : i % 2));
  const rows = thin.thinRows([many], 0, many.length, 400);
  same('few rows stay', rows.length <= 802, true);
  same('the peak stays', rows.includes(31415), true);
  same('both ends stay', [rows[0], rows.at(-1)], [0, 99999]);
  same('rows ascend', rows.every((row, i) => !i || row > rows[i - 1]), true);
  same('nearest', [thin.nearest([1, 5, 9], 4), thin.nearest([1, 5, 9], 99)], [1, 2]);
  const tables = await import('/assets/tables.js');
  const table = {steps: [1], metrics: {a: [1]}};
  tables.appendTable(table, {steps: [2], metrics: {b: [5]}});
  same('later steps', table, {steps: [1, 2], metrics: {a: [1, null], b: [null, 5]}});
  same('joined curves', tables.joinCurves([{xs: [1, 3], series: [{values: [1, 3]}]},
    {xs: [2], series: [{values: [2]}]}]).series.map(({values}) => values),
    [[1, null, 3], [null, 2, null]]);
  same('a difference', [format.change(0.031, 'share'), format.change(-2, 's'),
    format.change(null, '')], ['+3.1 points', '\u22122\u2009s', '–']);

  const {RunData} = await import('/assets/run_data.js');
  const server = {version: 1, steps: [1, 2], broken: ''};
  const ask = window.fetch;
  window.fetch = async (path) => {
    const {pathname, searchParams} = new URL(path, location);
    const name = pathname.split('/').at(-1);
    if (name === server.broken) throw new Error('no network');
    const steps = server.steps.filter((step) => step > Number(searchParams.get('after')));
    const body = {state: {version: server.version, last_step: server.steps.at(-1)},
      events: {events: []}, steps: {steps: server.steps.map((step) => ({phase: 'train', step}))},
      metrics: {steps, metrics: {a: steps}}}[name];
    return {ok: true, json: async () => body};
  };
  const fails = (promise) => promise.then(() => false, () => true);
  const run = new RunData('r');
  server.broken = 'metrics';
  same('a load fails', await fails(run.want({phases: ['train']})), true);
  server.broken = '';
  await Promise.all([run.want({phases: ['train']}), run.want({phases: ['train']}), run.refresh()]);
  same('what failed comes later, and once', run.table('train').steps, [1, 2]);
  same('nothing has changed', await run.refresh(), false);
  Object.assign(server, {version: 2, steps: [1, 2, 3], broken: 'events'});
  same('a refresh fails', await fails(run.refresh()), true);
  server.broken = '';
  same('it is done again', await run.refresh(), true);
  same('with the last step', run.table('train').metrics.a, [1, 2, 3]);
  Object.assign(server, {version: 3, steps: [1]});
  await run.refresh();
  same('a run that went back', run.table('train').steps, [1]);
  window.fetch = ask;

  const {poll} = await import('/assets/live.js');
  let asked = 0;
  poll(() => {
    ++asked;
    return new Promise(() => {});
  });
  for (let i = 0; i < 3; ++i) document.dispatchEvent(new Event('visibilitychange'));
  same('one question at a time', asked, 1);
  done(failed);
})().catch((error) => done([String(error)]));
