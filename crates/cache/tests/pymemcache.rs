//! pymemcache takes ours for memcached: a session of it prints the same with both.

mod common;

#[test]
fn pymemcache_sees_no_difference() {
    common::same_session("with_pymemcache.py");
}
