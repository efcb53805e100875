//! Moving bytes: `listener` accepts connections and deals them out, `worker` serves its share of
//! them in one thread, `connection` is one of them.

mod connection;
mod listener;
mod worker;

pub(crate) use listener::{Listener, Stop, listen};
pub(crate) use worker::{Mailbox, Worker};
