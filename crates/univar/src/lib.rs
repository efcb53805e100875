//! Universal variables over a set of cache servers
