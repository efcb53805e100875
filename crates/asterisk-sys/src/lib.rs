//! Raw bindings to the headers of the Asterisk it is built for.
//!
//! bindgen makes them at build time (`build/main.rs`), for structures and build options differ
//! from one Asterisk to the next; [`AST_BUILDOPT_SUM`] is the sum that Asterisk compares when it
//! opens a module. Nothing here is safe to call by itself and nothing is documented twice: the
//! contract of an item is the comment in Asterisk's header, the safe wrapper is the `asterisk`
//! crate.

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::missing_errors_doc,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    reason = "generated from C"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;
