/** Whether the screen is a phone's: then rows are cards. */

const SMALL = '(max-width: 720px)';

class Compact {
  is = $state(matchMedia(SMALL).matches);

  constructor() {
    matchMedia(SMALL).addEventListener('change', (event) => (this.is = event.matches));
  }
}

export const compact = new Compact();
