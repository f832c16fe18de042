// Goes from step to step of a phase.
import {fill, h} from './dom.js';
import {lowerBound} from './thin.js';

const kPhaseWords = {train: 'Training', 'eval/train': 'Held-out tasks',
  'eval/untrained': 'Untrained model'};

// choose({phase, step}) is called with what the reader picks.
export function stepPicker(choose) {
  let steps = [];
  let current = {phase: 'train', step: 1};
  const phases = h('select', {'aria-label': 'Phase',
    onchange: (event) => choose({phase: event.target.value, step: null})});
  const go = (step) => step !== undefined && choose({phase: current.phase, step});
  const back = h('button', {type: 'button', class: 'quiet', 'aria-label': 'Step before',
    onclick: () => api.previous()}, '‹');
  const next = h('button', {type: 'button', class: 'quiet', 'aria-label': 'Next step',
    onclick: () => api.next()}, '›');
  const number = h('input', {type: 'number', 'aria-label': 'Step',
    onchange: (event) => go(nearestStep(Number(event.target.value)))});
  const slider = h('input', {type: 'range', 'aria-label': 'Step',
    onchange: (event) => go(steps[event.target.value]),
    oninput: (event) => { number.value = steps[event.target.value]; }});
  const last = h('span', {class: 'of'});
  const nearestStep = (step) =>
    steps[Math.min(lowerBound(steps, step), steps.length - 1)];
  const api = {
    element: h('div', {class: 'step-picker'}, phases, back, h('label', {}, 'step', number), last,
      next, slider),
    previous: () => go(steps[lowerBound(steps, current.step) - 1]),
    next: () => go(steps[lowerBound(steps, current.step + 1)]),
    // `existing`: the phases that there are; `those`: the steps of this one, ascending.
    update(existing, those, phase, step) {
      steps = those;
      current = {phase, step};
      if (phases.dataset.shown !== existing.join()) {
        phases.dataset.shown = existing.join();
        fill(phases, existing.map((one) =>
          h('option', {value: one}, kPhaseWords[one] ?? one)));
      }
      phases.value = phase;
      phases.hidden = existing.length < 2;
      if (document.activeElement !== number) number.value = step;
      slider.max = Math.max(0, steps.length - 1);
      slider.value = lowerBound(steps, step);
      slider.hidden = steps.length < 2;
      last.textContent = `of ${steps.at(-1) ?? 0}`;
      back.disabled = !(steps[0] < step);
      next.disabled = !(steps.at(-1) > step);
    },
  };
  return api;
}
