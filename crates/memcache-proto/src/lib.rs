//! memcached's meta protocol, sans-IO, both sides
