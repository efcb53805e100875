//! What `app_universal` decides, free of Asterisk, so that it can be tested without one.
//!
//! - [`settings`]: `universal.conf`, from the lines that Asterisk's config API read to checked
//!   settings, or to problems that name file, section and line;
//! - [`arguments`]: the arguments of the applications and functions;
//! - [`pattern`]: the patterns of a switch;
//! - [`Status`]: what `UNIVARSTATUS` says;
//! - [`Template`]: the dial string of `dial=` and `LOCATE()`;
//! - [`header`]: values in AMI headers.
//!
//! Names are checked by `univar::Name`, cache traffic is `univar`'s, ownership is `sri`'s, and the
//! glue to Asterisk is `modules/app_universal`.

pub mod arguments;
pub mod header;
pub mod pattern;
pub mod settings;
mod status;
mod template;

pub use status::Status;
pub use template::{Template, TemplateError};
