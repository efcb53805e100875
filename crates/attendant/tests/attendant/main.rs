//! The whole of it over real sockets, beside an Asterisk that is none (see `fake`).

mod entry;
mod fake;
mod rig;
mod shown;
mod work;
