//! Real Asterisk servers, caches and phones on loopback, for the demo, tests and benches.
//!
//! Nothing here is a mock: servers are Debian's Asterisk in root folders that `lab/setup` made, caches are
//! memcached, SIP phones are baresip, IAX2 phones are one more Asterisk, and load comes from sipp. A [`Lab`]
//! owns them all, and when it is dropped nothing is left running. Everything that waits, waits for a condition
//! with a bound, and says which condition and which log to read when it fails.
//!
//! ```no_run
//! # fn main() -> tandem_lab::Result<()> {
//! use std::time::Duration;
//!
//! let lab = tandem_lab::Lab::start("my-test")?;
//! let phone = lab.phone("200").start()?;
//! phone.register_at(lab.a(), Duration::from_secs(60))?;
//! assert!(lab.a().cli("pjsip show contacts")?.contains("200/"));
//! assert!(lab.a().warnings()?.is_empty());
//! # Ok(())
//! # }
//! ```

mod ami;
mod api;
mod baresip;
mod browser;
mod config;
mod dialplan;
mod error;
mod hub;
mod iax_phone;
mod iax_release;
mod lab;
mod memcached;
mod network;
mod phone;
mod place;
mod process;
mod proxy;
mod release;
mod server;
mod sipp;
mod tone;
mod voicemail;
mod wait;

pub use ami::{Ami, AmiMessage};
pub use api::{Answer, Api, Events};
pub use browser::Browser;
pub use config::{AMI_SECRET, ServerConfig, TRUNK_SECRET, phone_secret};
pub use dialplan::Dialplan;
pub use error::{LabError, Result};
pub use hub::{Agent, Hub, HubBuilder, program};
pub use iax_phone::IaxPhone;
pub use lab::{Lab, LabBuilder};
pub use memcached::{Cache, CacheOptions, MEMCACHED_PORT};
pub use phone::{Phone, PhoneBuilder};
pub use place::{DEMO_NUMBER, Place, cache_folder};
pub use proxy::{Line, Proxy};
pub use release::Release;
pub use server::{AMI_PORT, Asterisk, CHAN_SIP_PORT, IAX_PORT, SIP_PORT};
pub use sipp::{CallMany, RegisterMany};
pub use voicemail::Message;
pub use wait::{wait_for, wait_until};
