// What the pages know of one run, brought up to date as the run goes on.
import * as api from './api.js';
import {appendTable, emptyTable} from './tables.js';
import {lowerBound} from './thin.js';

export class RunData {
  constructor(id) {
    this.id = id;
    this.state = null;
    this.version = null;  // of the store, that all of this is at least as new as
    this.tables = new Map();  // by phase
    this.events = [];
    this.steps = [];
    this.readings = [];  // [id, time in ms, source, name, value]
    this.system = null;
    this.lastReading = 0;
    this.grown = false;  // whether the last refresh brought steps
    this.turns = new Map();  // the last request of each kind
  }

  // Loads what a page needs; from then on refresh() keeps it up to date.
  async want({phases = [], readings = false}) {
    await Promise.all([
      ...(this.state ? [] : [this.loadState(), this.loadEvents()]),
      ...phases.filter((phase) => !this.tables.has(phase)).map((phase) => this.loadMetrics(phase)),
      this.steps.length ? null : this.loadSteps(),
      readings && !this.system ? this.loadReadings() : null,
    ]);
  }

  table(phase) {
    return this.tables.get(phase) ?? emptyTable();
  }

  // True where something has changed.
  async refresh() {
    const before = this.state;
    await this.loadState();
    const {version, last_step: lastStep} = this.state;
    if (this.version === version) return false;
    const events = this.events.length;
    await this.loadEvents();
    const anew = (before && lastStep < before.last_step) ||
      this.events.slice(events).some((event) => event.kind === 'resumed');
    if (anew) {
      api.forget();
      await this.loadEvents({anew});
    }
    const [grown] = await Promise.all([
      Promise.all([...this.tables.keys()].map((phase) => this.loadMetrics(phase, {anew}))),
      this.system ? this.loadReadings() : null,
    ]);
    this.grown = anew || grown.includes(true) || lastStep !== before?.last_step;
    if (this.grown) await this.loadSteps();
    this.version = version;  // only now: what fails is asked for again
    return true;
  }

  // Requests of a kind one after the other: two at once would bring the same rows twice.
  inTurn(kind, load) {
    const before = this.turns.get(kind) ?? Promise.resolve();
    const mine = before.catch(() => {}).then(load);
    this.turns.set(kind, mine);
    return mine;
  }

  loadState() {
    return this.inTurn('state', async () => { this.state = await api.state(this.id); });
  }

  // `anew`: in place of what is there.
  loadMetrics(phase, {anew = false} = {}) {
    return this.inTurn(`metrics ${phase}`, async () => {
      const table = anew ? emptyTable() : this.table(phase);
      const later = await api.metrics(this.id, {phase, after: table.steps.at(-1) ?? -1});
      appendTable(table, later);
      this.tables.set(phase, table);
      return later.steps.length > 0;
    });
  }

  loadEvents({anew = false} = {}) {
    return this.inTurn('events', async () => {
      const known = anew ? [] : this.events;
      const {events} = await api.events(this.id, known.at(-1)?.id ?? 0);
      this.events = known.concat(events);
    });
  }

  loadSteps() {
    return this.inTurn('steps', async () => { this.steps = (await api.steps(this.id)).steps; });
  }

  loadReadings() {
    return this.inTurn('readings', async () => {
      this.system = await api.system(this.id, this.lastReading);
      const {last, rows} = this.system.readings;
      this.lastReading = last;
      for (const [id, at, source, name, value] of rows) {
        this.readings.push([id, Date.parse(at), source, name, value]);
      }
    });
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
