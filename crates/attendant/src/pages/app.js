// The pages. Everything that comes from Asterisk becomes text, never markup.

const $ = (id) => document.getElementById(id);
const PAGES = ['status', 'calls', 'peers', 'registrations', 'variables', 'console', 'log'];
const LOG_LINES_MAX = 2000;
const RUNS_MAX = 40;
const HISTORY_MAX = 100;

const known = { session: null, status: null, channels: [], peers: [], at: { status: 0, channels: 0 } };

// --- Asking

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, method = 'GET', body) {
  const headers = {};
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (method !== 'GET' && known.session?.csrf) headers['X-CSRF-Token'] = known.session.csrf;
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (response.status === 401) leave();
  const json = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, json?.error ?? `the server said ${response.status}`);
  return json;
}

function leave() {
  location.assign('/login');
}

function complain(error) {
  write($('problem'), error instanceof Refused ? error.message : 'The server cannot be reached.');
  $('problem').hidden = false;
}

function content() {
  $('problem').hidden = true;
}

// --- Text and tables

/** What shows nothing, or turns the direction of what stands around it; text.rs has the same list. */
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const spelt = (hidden) => `\\u{${hidden.charCodeAt(0).toString(16)}}`;

/** A name or another single piece of text: nothing of it is hidden. */
const visible = (text) => String(text ?? '').replace(HIDDEN, spelt);

/** What has lines and tabs of its own, which stay. */
const visibleLines = (text) => text.replace(HIDDEN, (hidden) => (/[\n\t]/.test(hidden) ? hidden : spelt(hidden)));

function make(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = visibleLines(text);
  if (name) element.className = name;
  return element;
}

function write(element, text) {
  const said = visible(text);
  if (element.textContent !== said) element.textContent = said;
}

function span(seconds) {
  const [d, h, m, s] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  const two = (number) => String(number).padStart(2, '0');
  if (d > 0) return `${d} d ${h} h`;
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Brings a table's rows up to date, and touches only what differs, so that a selection stays. */
function fill(id, columns, rows, key) {
  const table = $(id);
  table.classList.add('cards');
  const body = table.tBodies[0];
  const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  let next = body.firstChild;
  for (const item of rows) {
    const name = key(item);
    let row = old.get(name);
    if (row) {
      old.delete(name);
    } else {
      row = make('tr');
      row.dataset.key = name;
      names.forEach((column) => (row.insertCell().dataset.name = column));
    }
    columns.forEach((column, nth) => {
      const [text, style = ''] = [column(item)].flat();
      const cell = row.cells[nth];
      write(cell, text);
      if (cell.className !== style) cell.className = style;
    });
    row.classList.toggle('first', Boolean(item.first));
    if (row === next) next = next.nextSibling;
    else body.insertBefore(row, next);
  }
  old.forEach((row) => row.remove());
  const empty = $(id.replace('table', 'empty'));
  if (empty) empty.hidden = rows.length > 0;
  table.parentElement.hidden = Boolean(empty) && rows.length === 0;
}

function matching(id, rows) {
  const wanted = $(id).value.trim().toLowerCase();
  if (!wanted) return rows;
  return rows.filter((row) => JSON.stringify(Object.values(row)).toLowerCase().includes(wanted));
}

// --- Status, calls, peers

function age(kind, seconds) {
  return seconds + Math.floor((Date.now() - known.at[kind]) / 1000);
}

function showStatus() {
  if (!known.status) return;
  const { system, universal, version } = known.status;
  const name = system.system_name || system.host_name || 'Asterisk';
  write($('name'), name);
  write($('version'), `Asterisk ${system.version}`);
  write($('prompt'), `${name}*CLI>`);
  write($('f-calls'), system.active_calls);
  write($('f-channels'), system.active_channels);
  write($('f-processed'), system.processed_calls.toLocaleString());
  write($('f-uptime'), span(age('status', system.uptime_seconds)));
  const online = known.peers.filter((peer) => peer.state === 'online').length;
  write($('f-peers'), `${online} / ${known.peers.length}`);
  write($('calls-count'), known.channels.length || '');
  write($('peers-count'), known.peers.length || '');
  document.querySelectorAll('[data-needs=universal]').forEach((item) => (item.hidden = !universal));
  const state = system.shutting_down ? 'going down' : system.fully_booted ? 'fully booted' : 'starting';
  const facts = [
    ['State', state], ['Version', system.version], ['System name', system.system_name], ['Host', system.host_name],
    ['Process', system.pid],
    ['Last reload', `${span(age('status', system.reload_seconds))} ago`],
    ['Most calls', system.max_calls || 'no limit'], ['pbx_web', version],
  ];
  for (const [nth, [what, value]] of facts.entries()) {
    const row = $('facts').rows[nth] ?? $('facts').insertRow();
    if (!row.cells.length) {
      row.append(make('th', what), make('td'));
      row.cells[0].scope = 'row';
    }
    write(row.cells[1], value || '-');
  }
}

let modules = [];
async function loadModules() {
  modules = (await ask('/api/modules')).modules;
  showModules();
}

function showModules() {
  const running = modules.filter((module) => module.status === 'Running').length;
  write($('modules-count'), modules.length ? `${running} of ${modules.length} running` : '');
  const state = (module) => [module.status, `state ${module.status === 'Running' ? 'online' : 'odd'}`];
  const columns = [
    (module) => [module.name, 'id'], (module) => module.description, (module) => [module.use_count, 'n'], state,
    (module) => [module.support, 'soft word'],
  ];
  fill('modules-table', columns, matching('modules-filter', modules), (module) => module.name);
}

const party = (name, number) => (name && number ? `${name} <${number}>` : name || number || '');

function showCalls() {
  let call = null;
  const rows = matching('calls-filter', known.channels).map((channel) => {
    const first = channel.linked_id !== call;
    call = channel.linked_id;
    return { ...channel, first };
  });
  const columns = [
    (channel) => [channel.name, 'id'], (channel) => channel.state,
    (channel) => party(channel.caller_name, channel.caller_number),
    (channel) => party(channel.connected_name, channel.connected_number),
    (channel) => [channel.extension ? `${channel.extension}@${channel.context}:${channel.priority}` : '', 'id'],
    (channel) => [channel.application ? `${channel.application}(${channel.application_data})` : '', 'id'],
    (channel) => [span(age('channels', channel.seconds)), 'n'],
  ];
  fill('calls-table', columns, rows, (channel) => channel.unique_id);
}

function showPeers() {
  const wanted = $('peers-state').value;
  const peers = known.peers.filter((peer) => !wanted || peer.state === wanted);
  const columns = [
    (peer) => [peer.resource, 'id'], (peer) => peer.tech, (peer) => [peer.state, `state ${peer.state}`],
    (peer) => [peer.contacts.join(', '), 'id'], (peer) => [peer.channels.length || '', 'n'],
  ];
  fill('peers-table', columns, matching('peers-filter', peers), (peer) => `${peer.tech}/${peer.resource}`);
}

function showAll() {
  showStatus();
  if (page() === 'calls') showCalls();
  if (page() === 'peers') showPeers();
}

/**
 * Follows a stream of events until it is let go. A browser that lost it goes on where it was; `onState` hears
 * "new" where it has to begin anew.
 */
function follow(path, events, onState) {
  let source;
  let timer;
  let isRefused = false;
  const begin = () => {
    onState?.('new');
    source = new EventSource(path);
    source.onopen = () => {
      if (isRefused) content();
      isRefused = false;
      onState?.('live');
    };
    source.onerror = () => {
      onState?.('lost');
      if (source.readyState !== EventSource.CLOSED) return;
      // Refused rather than broken off: perhaps the session is over, or too much is followed.
      sayWhy(path).then((was) => (isRefused = was), () => {});
      timer = setTimeout(begin, 3000);
    };
    for (const [name, take] of Object.entries(events)) {
      source.addEventListener(name, (event) => take(JSON.parse(event.data)));
    }
  };
  begin();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

/** An EventSource does not tell what it was answered. Says whether there was something to complain of. */
async function sayWhy(path) {
  const abort = new AbortController();
  const response = await fetch(path, { signal: abort.signal });
  if (response.status === 401) leave();
  else if (!response.ok) complain(new Refused(response.status, (await response.json()).error));
  abort.abort();
  return !response.ok;
}

let stopFeed = null;

/** Tabs that nobody sees follow nothing: browsers have few connections for one server. */
function followFeed() {
  const isWanted = document.visibilityState === 'visible';
  if (!isWanted) stopFeed?.();
  if (isWanted === Boolean(stopFeed)) return;
  stopFeed = null;
  if (!isWanted) return;
  const words = { new: 'connecting', live: 'live', late: 'Asterisk does not answer', lost: 'no connection' };
  const show = (state) => {
    $('live').dataset.state = state;
    write($('live'), words[state]);
  };
  const events = {
    late: ({ seconds }) => show(seconds === null ? 'live' : 'late'),
    status: (data) => ((known.status = data), (known.at.status = Date.now()), showAll()),
    channels: (data) => ((known.channels = data.channels), (known.at.channels = Date.now()), showAll()),
    peers: (data) => ((known.peers = data.peers), showAll()),
  };
  stopFeed = follow('/api/events', events, show);
}

// --- Registrations and variables

async function loadRegistrations() {
  const { registrations } = await ask('/api/registrations');
  const seconds = (value) => [value === null ? '' : span(value), 'n'];
  const columns = [
    (one) => [one.peer, 'id'], (one) => [one.variable, 'id'],
    (one) => [one.state, `state ${one.state === 'published' ? 'online' : 'odd'}`], (one) => [one.contacts, 'n'],
    (one) => seconds(one.expires_seconds), (one) => seconds(one.renewed_seconds), (one) => [one.why, 'soft'],
  ];
  fill('registrations-table', columns, matching('registrations-filter', registrations), (one) => one.peer);
}

async function loadVariables() {
  const found = await ask(`/api/variables?prefix=${encodeURIComponent($('variables-prefix').value.trim())}`);
  const columns = [(one) => [one.name, 'id'], (one) => [one.value, 'id']];
  fill('variables-table', columns, found.variables, (one) => one.name);
  write($('variables-notes'), found.notes.join(' · '));
}

// --- The console

const runs = new Map();
let past = [];
try {
  past = JSON.parse(sessionStorage.getItem('history') ?? '[]');
} catch {
  // A browser that keeps nothing has no history.
}
let pastAt = past.length;

function remember(command) {
  past = [...past.filter((one) => one !== command), command].slice(-HISTORY_MAX);
  pastAt = past.length;
  try {
    sessionStorage.setItem('history', JSON.stringify(past));
  } catch {
    // As above.
  }
}

function showRun(view) {
  let run = runs.get(view.id);
  if (!run) {
    run = { element: make('article', undefined, 'run'), at: Date.now() };
    const head = make('header');
    run.state = make('span');
    run.leave = make('button', 'Leave it');
    run.leave.type = 'button';
    run.leave.addEventListener('click', () => ask(`/api/console/${view.id}`, 'DELETE').catch(complain));
    run.output = make('pre');
    run.mark = make('p', '', 'mark');
    head.append(make('b', visible(view.command)), run.state, run.leave);
    run.element.append(head, run.output, run.mark);
    $('runs').append(run.element);
    runs.set(view.id, run);
    for (const [id, old] of [...runs].slice(0, -RUNS_MAX)) {
      old.element.remove();
      runs.delete(id);
    }
  }
  run.view = view;
  run.at = Date.now();
  showRunState(run);
  return run;
}

function showRunState({ view, state, leave: button, mark, at }) {
  const seconds = view.age_seconds + Math.floor((Date.now() - at) / 1000);
  const words = [];
  if (view.failure) words.push(view.failure);
  else if (view.left) words.push(view.running ? `left, still running in Asterisk (${span(seconds)})` : 'left, and has ended');
  else if (view.running) words.push(seconds < 2 ? 'running' : `running for ${span(seconds)}; Asterisk cannot cancel it`);
  else if (view.took_ms >= 1000) words.push(`took ${(view.took_ms / 1000).toFixed(1)} s`);
  write(state, words.join('; '));
  state.className = view.failure || view.left ? 'odd' : '';
  write(mark, view.dropped_bytes ? `The output was cut here: ${view.dropped_bytes.toLocaleString()} more bytes came.` : '');
  button.hidden = !view.running || view.left || seconds < 2;
}

let stopConsole = null;

/** All commands come in one stream: browsers have few connections for one server. */
function followConsole() {
  const isWanted = page() === 'console';
  if (!isWanted) stopConsole?.();
  if (isWanted === Boolean(stopConsole)) return;
  stopConsole = null;
  if (!isWanted) return;
  const box = $('runs');
  const atEnd = (change) => {
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
    change();
    if (isAtEnd) box.scrollTop = box.scrollHeight;
  };
  const events = {
    command: (view) => atEnd(() => showRun(view)),
    output: ({ id, text }) => atEnd(() => runs.get(id)?.output.append(visibleLines(text))),
  };
  stopConsole = follow('/api/console/events', events, (state) => {
    // It begins with what there is.
    if (state !== 'live') return;
    runs.clear();
    box.replaceChildren();
  });
  $('command').focus();
}

async function runCommand(event) {
  event.preventDefault();
  const command = $('command').value.trim();
  if (!command) return;
  if (/^(core\s+)?(stop|restart)\b/i.test(command) && !confirm(`"${command}" ends calls and these pages. Run it?`)) return;
  showCandidates([]);
  content();
  try {
    await ask('/api/console', 'POST', { command });
    remember(command);
    $('command').value = '';
    $('runs').scrollTop = $('runs').scrollHeight;
  } catch (error) {
    complain(error);
  }
}

let chosen = -1;
function showCandidates(candidates) {
  chosen = -1;
  $('candidates').replaceChildren(...candidates.map((text, nth) => {
    const item = make('li', visible(text));
    item.dataset.word = text;
    item.role = 'option';
    item.id = `candidate-${nth}`;
    item.addEventListener('click', () => take(text));
    return item;
  }));
  $('candidates').hidden = !candidates.length;
  $('command').setAttribute('aria-expanded', String(candidates.length > 0));
  $('command').removeAttribute('aria-activedescendant');
}

function take(word, isWhole = true) {
  const input = $('command');
  input.value = input.value.replace(/\S*$/, '') + word + (isWhole ? ' ' : '');
  if (isWhole) showCandidates([]);
  input.focus();
}

async function complete() {
  const line = $('command').value;
  const { candidates } = await ask(`/api/console/complete?line=${encodeURIComponent(line)}`);
  if ($('command').value !== line) return;
  if (candidates.length === 1) return take(candidates[0]);
  const common = candidates.reduce((one, other) => {
    let end = 0;
    while (end < one.length && one[end].toLowerCase() === other[end]?.toLowerCase()) end += 1;
    return one.slice(0, end);
  }, candidates[0] ?? '');
  if (common.length > (line.match(/\S*$/)?.[0].length ?? 0)) take(common, false);
  showCandidates(candidates);
}

function choose(step) {
  const items = [...$('candidates').children];
  chosen = (chosen + step + items.length) % items.length;
  items.forEach((item, nth) => item.setAttribute('aria-selected', String(nth === chosen)));
  items[chosen].scrollIntoView({ block: 'nearest' });
  $('command').setAttribute('aria-activedescendant', items[chosen].id);
}

let mayLeave = false;
function commandKey(event) {
  const input = $('command');
  const isOpen = !$('candidates').hidden;
  const wasFree = mayLeave;
  mayLeave = event.key === 'Escape';
  if (event.key === 'Tab' && !wasFree && !event.shiftKey && (isOpen || input.value)) {
    event.preventDefault();
    if (isOpen) choose(1);
    else complete().catch(complain);
  } else if (event.key === 'Tab' && event.shiftKey && isOpen) {
    event.preventDefault();
    choose(-1);
  } else if (event.key === 'Enter' && isOpen && chosen >= 0) {
    event.preventDefault();
    take($('candidates').children[chosen].dataset.word);
  } else if (event.key === 'Escape') {
    showCandidates([]);
  } else if (event.key === 'ArrowUp' || event.key === 'ArrowDown') {
    event.preventDefault();
    if (isOpen) return choose(event.key === 'ArrowUp' ? -1 : 1);
    pastAt = Math.max(0, Math.min(past.length, pastAt + (event.key === 'ArrowUp' ? -1 : 1)));
    input.value = past[pastAt] ?? '';
  } else if (event.key.length === 1 || event.key === 'Backspace') {
    showCandidates([]);
  }
}

// --- The log

let stopLog = null;

function addLines({ lines, missed }) {
  const box = $('lines');
  const wanted = $('log-filter').value.trim().toLowerCase();
  const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  const add = (text, style) => {
    const line = make('div', text, style);
    line.hidden = Boolean(wanted) && !text.toLowerCase().includes(wanted);
    box.append(line);
  };
  if (missed) add(`[${missed} lines were missed: this reader was too slow]`, 'note');
  for (const { text, at_ms: at } of lines) {
    const level = /\b(ERROR|SECURITY)\[/.test(text) ? 'error' : /\bWARNING\[/.test(text) ? 'warning' : '';
    const isOurs = text.startsWith('[the ') || text.startsWith('(nobody ');
    // Asterisk tells the time of messages, and not of what is verbose.
    const hasTime = /^\[[^\]]*\d:\d\d/.test(text);
    add(hasTime ? text : `[${new Date(at).toTimeString().slice(0, 8)}] ${text}`, isOurs ? 'note' : level);
  }
  while (box.childElementCount > LOG_LINES_MAX) box.firstChild.remove();
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}

function followLog() {
  const isWanted = page() === 'log' && $('log-follow').checked;
  if (isWanted && !stopLog) {
    stopLog = follow('/api/log/events', { lines: addLines }, (state) => {
      if (state === 'new') $('lines').replaceChildren();
      write($('log-state'), state === 'lost' ? 'No connection; trying again.' : 'Following.');
    });
  } else if (!isWanted && stopLog) {
    stopLog();
    stopLog = null;
    write($('log-state'), 'Not following.');
  }
}

// --- Pages

function page() {
  const wanted = location.hash.slice(1);
  const link = PAGES.includes(wanted) && $('nav').querySelector(`a[href="#${wanted}"]`);
  // What is for administrators has no link for others.
  return link && !link.closest('[data-needs=admin][hidden]') ? wanted : 'status';
}

function load() {
  const loads = { status: loadModules, registrations: loadRegistrations, variables: loadVariables };
  return loads[page()]?.().then(content, complain);
}

function turn() {
  const now = page();
  // What is not for this user is not in the address either: it would be there for whoever logs in next.
  if (location.hash && location.hash !== `#${now}`) history.replaceState(null, '', `#${now}`);
  PAGES.forEach((name) => ($(name).hidden = name !== now));
  for (const link of $('nav').querySelectorAll('a')) {
    if (link.hash !== `#${now}`) {
      link.removeAttribute('aria-current');
      continue;
    }
    link.setAttribute('aria-current', 'page');
    link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }
  const title = document.querySelector(`#nav a[href="#${now}"]`).firstChild.textContent.trim();
  // The browser goes to the section that the address names; what is above it is wanted, too.
  scrollTo(0, 0);
  document.title = `${title} - ${$('name').textContent}`;
  content();
  showAll();
  load();
  followLog();
  followConsole();
}

function shortcut(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const links = [...$('nav').querySelectorAll('li:not([hidden]) a')];
  const link = links[Number(event.key) - 1];
  if (link) location.hash = link.hash;
  if (event.key === '/') {
    event.preventDefault();
    $(page()).querySelector('input')?.focus();
  }
}

async function begin() {
  try {
    known.session = await ask('/api/session');
  } catch (error) {
    return complain(error);
  }
  write($('user'), `${known.session.user} (${known.session.role})`);
  const isAdmin = known.session.role === 'admin';
  document.querySelectorAll('[data-needs=admin]').forEach((item) => (item.hidden = !isAdmin));
  $('logout').hidden = !known.session.csrf;
  $('logout').addEventListener('click', () => ask('/api/session', 'DELETE').then(leave, complain));
  $('calls-filter').addEventListener('input', showCalls);
  $('peers-filter').addEventListener('input', showPeers);
  $('peers-state').addEventListener('change', showPeers);
  $('modules-filter').addEventListener('input', showModules);
  $('registrations-filter').addEventListener('input', load);
  $('variables-form').addEventListener('submit', (event) => (event.preventDefault(), load()));
  $('console-form').addEventListener('submit', runCommand);
  $('command').addEventListener('keydown', commandKey);
  $('log-follow').addEventListener('change', followLog);
  $('log-clear').addEventListener('click', () => $('lines').replaceChildren());
  $('log-filter').addEventListener('input', () => {
    const wanted = $('log-filter').value.trim().toLowerCase();
    for (const line of $('lines').children) line.hidden = Boolean(wanted) && !line.textContent.toLowerCase().includes(wanted);
  });
  addEventListener('hashchange', turn);
  addEventListener('keydown', shortcut);
  addEventListener('visibilitychange', followFeed);
  followFeed();
  turn();
  setInterval(() => {
    showAll();
    runs.forEach((run) => run.view.running && showRunState(run));
  }, 1000);
  setInterval(() => page() === 'registrations' && document.visibilityState === 'visible' && load(), 5000);
}

begin();
