/** A column as a grid shows it. What it sorts by is `fleet/live-index.ts`'s. */

export interface GridColumn {
  id: string;
  label: string;
  /** Where there is room for more. */
  long?: string;
  /** Its least width. */
  px: number;
  /** Its share of what room is left; none if it stays as it is. */
  grow?: number;
  /** Figures stand at the end. */
  end?: boolean;
  sorts?: boolean;
  title?: string;
}
