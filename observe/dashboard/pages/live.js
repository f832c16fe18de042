// Keeps asking while the page is looked at.

const kRunningMs = 2000;
const kRestingMs = 10000;

// Calls `ask`, which says whether the run goes on, again and again, once at a time; a hidden page
// waits.
export function poll(ask) {
  let timer = 0;
  let asking = false;
  const turn = async () => {
    clearTimeout(timer);
    if (asking || document.hidden) return;  // visibilitychange takes it up again
    asking = true;
    const running = await ask();
    asking = false;
    timer = setTimeout(turn, running ? kRunningMs : kRestingMs);
  };
  document.addEventListener('visibilitychange', turn);
  timer = setTimeout(turn, kRunningMs);
}
