/** What a server's counts of what went amiss mean. */

export const DRIFT = 'Things that were otherwise than events had said, when they were compared';
export const LEFT_OUT = 'Things that did not fit the limits, or had no usable name';
export const FAILED = 'Requests that the server refused or did not answer';
