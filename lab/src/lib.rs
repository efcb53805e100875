//! Real Asterisk servers, caches and phones on loopback, for the demo, tests and benches
