//! End-to-end tests: a file a capability
