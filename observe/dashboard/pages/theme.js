// Runs before the first paint, so that a chosen theme does not flash. Without a choice the
// system's is used.
(() => {
  const root = document.documentElement;
  const media = matchMedia('(prefers-color-scheme: dark)');
  const read = () => {
    try {
      return localStorage.getItem('ponder-theme');
    } catch {
      return null;  // storage is switched off
    }
  };
  const apply = (choice) => {
    if (choice) root.dataset.theme = choice;
    window.dispatchEvent(new Event('themechange'));
  };
  window.ponderTheme = {
    isDark: () => (root.dataset.theme ?? (media.matches ? 'dark' : 'light')) === 'dark',
    toggle() {
      const choice = this.isDark() ? 'light' : 'dark';
      try {
        localStorage.setItem('ponder-theme', choice);
      } catch {
        // It holds for this page then.
      }
      apply(choice);
    },
  };
  media.addEventListener('change', () => window.dispatchEvent(new Event('themechange')));
  apply(read());
})();
