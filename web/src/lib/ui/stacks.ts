/**
 * Lets a table be a stack of cards on a small screen, which is `table.plain`'s in `app.css`: each cell is told the
 * name of its column, and everything its role and place, for browsers forget that a table is one when it is laid out
 * otherwise. Rows may come and go; a row's cells stay.
 */

export function stacks(table: HTMLTableElement): () => void {
  const heads = table.tHead?.rows[0]?.cells;
  const told = new WeakSet<HTMLTableRowElement>();
  const tell = () => {
    for (const row of table.rows) {
      if (told.has(row)) continue;
      told.add(row);
      row.setAttribute('role', 'row');
      for (const cell of row.cells) tellCell(cell, heads?.[cell.cellIndex]);
    }
  };

  table.setAttribute('role', 'table');
  const watch = new MutationObserver(tell);
  for (const section of [table.tHead, ...table.tBodies]) {
    section?.setAttribute('role', 'rowgroup');
    if (section) watch.observe(section, { childList: true });
  }
  tell();
  return () => watch.disconnect();
}

function tellCell(cell: HTMLTableCellElement, head: HTMLTableCellElement | undefined): void {
  const isTitle = cell.scope === 'row';
  cell.setAttribute('role', cell === head ? 'columnheader' : isTitle ? 'rowheader' : 'cell');
  // What is as wide as the table is of no column.
  if (cell.colSpan > 1) return;
  cell.setAttribute('aria-colindex', String(cell.cellIndex + 1));
  if (head && cell !== head && !isTitle) cell.dataset['label'] = head.textContent.trim();
}
