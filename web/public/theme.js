// Before the first paint, and a file of its own because nothing inline may run: the chosen theme.
try {
  const theme = localStorage.getItem('tandem.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's theme is right.
}
