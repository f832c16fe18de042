// What the pages know of one run, brought up to date as the run goes on.
import * as api from './api.js';
import {appendTable, emptyTable} from './tables.js';
import {lowerBound} from './thin.js';

export class RunData {
  constructor(id) {
    this.id = id;
    this.state = null;
    this.tables = new Map();  // by phase
    this.events = [];
    this.steps = [];
    this.readings = [];  // [id, time in ms, source, name, value]
    this.system = null;
    this.lastReading = 0;
    this.wanted = {phases: new Set(), readings: false};
    this.grown = false;  // whether the last refresh brought steps
  }

  // Loads what a page needs; from then on refresh() keeps it up to date.
  async want({phases = [], readings = false}) {
    const missing = phases.filter((phase) => !this.wanted.phases.has(phase));
    const needsReadings = readings && !this.wanted.readings;
    for (const phase of missing) this.wanted.phases.add(phase);
    this.wanted.readings ||= readings;
    await Promise.all([
      ...(this.state ? [] : [this.loadState(), this.loadEvents()]),
      ...missing.map((phase) => this.loadMetrics(phase)),
      this.steps.length ? null : this.loadSteps(),
      needsReadings ? this.loadReadings() : null,
    ]);
  }

  table(phase) {
    return this.tables.get(phase) ?? emptyTable();
  }

  // True where something has changed.
  async refresh() {
    const before = this.state;
    await this.loadState();
    if (before && before.version === this.state.version) return false;
    const events = this.events.length;
    await this.loadEvents();
    const rewound = (before && this.state.last_step < before.last_step) ||
      this.events.slice(events).some((event) => event.kind === 'resumed');
    if (rewound) {
      this.tables.clear();
      this.events = [];
      api.forget();
      await this.loadEvents();
    }
    const [grown] = await Promise.all([
      Promise.all([...this.wanted.phases].map((phase) => this.loadMetrics(phase))),
      this.wanted.readings ? this.loadReadings() : null,
    ]);
    this.grown = rewound || grown.includes(true) || this.state.last_step !== before?.last_step;
    if (this.grown) await this.loadSteps();
    return true;
  }

  async loadState() {
    this.state = await api.state(this.id);
  }

  async loadMetrics(phase) {
    const table = this.table(phase);
    const later = await api.metrics(this.id, {phase, after: table.steps.at(-1) ?? -1});
    appendTable(table, later);
    this.tables.set(phase, table);
    return later.steps.length > 0;
  }

  async loadEvents() {
    const {events} = await api.events(this.id, this.events.at(-1)?.id ?? 0);
    this.events.push(...events);
  }

  async loadSteps() {
    this.steps = (await api.steps(this.id)).steps;
  }

  async loadReadings() {
    this.system = await api.system(this.id, this.lastReading);
    const {last, rows} = this.system.readings;
    this.lastReading = last;
    for (const [id, at, source, name, value] of rows) {
      this.readings.push([id, Date.parse(at), source, name, value]);
    }
  }

  // Events count the steps of their phase: those of the cold start are not training's.
  eventsOf(phase) {
    const end = this.steps.filter((step) => step.phase === 'sft').at(-1)?.at ?? '';
    const isSft = (event) => event.at <= end || event.message.startsWith('sft-');
    return this.events.filter((event) => event.step > 0 && isSft(event) === (phase === 'sft'));
  }

  phases() {
    return [...new Set(this.steps.map((step) => step.phase))];
  }

  // Where on the axis of training steps a moment lies: 7.5 is half-way through the eighth. Null
  // before the first step began.
  stepAt(ms) {
    this.stepTimes ??= {of: null};
    if (this.stepTimes.of !== this.steps) {
      const train = this.steps.filter((step) => step.phase === 'train');
      this.stepTimes = {
        of: this.steps,
        times: train.map((step) => Date.parse(step.at)),
        numbers: train.map((step) => step.step),
      };
    }
    const {times, numbers} = this.stepTimes;
    if (!times.length || ms < times[0] - 3600e3) return null;
    const i = lowerBound(times, ms);
    if (i === times.length) return numbers[i - 1];
    if (i === 0) return numbers[0] - 1;
    return numbers[i - 1] + (ms - times[i - 1]) / Math.max(times[i] - times[i - 1], 1) *
      (numbers[i] - numbers[i - 1]);
  }
}
