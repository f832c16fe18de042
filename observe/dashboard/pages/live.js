// Keeps asking while the page is looked at.

const kRunningMs = 2000;
const kRestingMs = 10000;

// Calls `ask`, which says whether the run goes on, again and again; a hidden page waits. Returns
// what ends it.
export function poll(ask) {
  let timer = 0;
  let ended = false;
  const next = (running) => {
    if (!ended) timer = setTimeout(turn, running ? kRunningMs : kRestingMs);
  };
  const turn = async () => {
    if (document.hidden) return;  // visibilitychange takes it up again
    next(await ask());
  };
  const wake = () => {
    if (document.hidden) return;
    clearTimeout(timer);
    turn();
  };
  document.addEventListener('visibilitychange', wake);
  next(true);
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', wake);
  };
}
