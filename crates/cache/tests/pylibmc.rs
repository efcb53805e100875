//! pylibmc, and so libmemcached, takes ours for memcached: a session of it prints the same with
//! both.

mod common;

#[test]
fn pylibmc_sees_no_difference() {
    common::same_session("with_pylibmc.py");
}
