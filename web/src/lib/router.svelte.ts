/** The address bar: a path and a query, nothing more. */

class Router {
  path = $state(location.pathname);
  search = $state(location.search);

  constructor() {
    addEventListener('popstate', () => this.#read());
  }

  go(address: string): void {
    history.pushState(null, '', address);
    this.#read();
    scrollTo(0, 0);
  }

  /** Goes on from an address that is none: where a login began. */
  replace(address: string): void {
    history.replaceState(null, '', address);
    this.#read();
  }

  /** Changes the query without a step in the history: typing is not travelling. */
  replaceSearch(search: string): void {
    if (search === location.search) return;
    history.replaceState(null, '', location.pathname + search);
    this.search = search;
  }

  /** For a link: takes the click unless it asks for another tab. */
  follow = (event: MouseEvent): void => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.go((event.currentTarget as HTMLAnchorElement).getAttribute('href') ?? '/');
  };

  #read(): void {
    this.path = location.pathname;
    this.search = location.search;
  }
}

export const router = new Router();
