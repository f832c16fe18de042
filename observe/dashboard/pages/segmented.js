// A row of buttons of which one is pressed.
import {h} from './dom.js';

// choices: [value, text, title?]. The buttons stay, so that the focus does.
export function segmented(label, choices, choose) {
  const buttons = new Map(choices.map(([value, text, title]) => [value, h('button', {
    type: 'button', title, onclick: () => choose(value)}, text)]));
  return {
    element: h('span', {class: 'segmented', role: 'group', 'aria-label': label},
      [...buttons.values()]),
    update(chosen) {
      for (const [value, button] of buttons) {
        button.setAttribute('aria-pressed', String(value === chosen));
      }
    },
  };
}
