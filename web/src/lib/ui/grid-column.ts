/** A column as a grid shows it. What it sorts by is `fleet/live-index.ts`'s. */

export interface GridColumn {
  id: string;
  label: string;
  /** A track of `grid-template-columns`. */
  width: string;
  /** Figures stand at the end. */
  end?: boolean;
  sorts?: boolean;
  title?: string;
}
