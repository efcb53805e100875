//! Where a name is placed: libmemcached's weighted ketama, with equal weights.
//!
//! 160 points for each server, four from each of 40 MD5 digests of `host-0` to `host-39`
//! (`host:port-0` ... where the port is not 11211). Any client that is set to weighted ketama
//! finds the same server for the same key. The order in which servers are written does not
//! matter; their texts do.

use md5::{Digest, Md5};

use crate::Address;
use crate::config::DEFAULT_PORT;

/// Points that one digest gives.
const POINTS_PER_DIGEST: u32 = 4;

/// Points for each server, before rounding.
const POINTS_PER_SERVER: u32 = 160;

/// The servers' points on the circle of 32-bit hashes.
#[derive(Clone, Debug)]
pub struct Ring {
    /// Hash and server, ascending.
    points: Vec<(u32, u32)>,
}

impl Ring {
    /// A ring of `servers`; what [`Ring::place`] answers is an index into them.
    ///
    /// # Panics
    ///
    /// If `servers` is empty: there is nowhere to place anything.
    #[must_use]
    pub fn new(servers: &[Address]) -> Self {
        assert!(!servers.is_empty(), "a ring needs a server");
        if servers.len() == 1 {
            return Self { points: vec![(0, 0)] };
        }
        // Equal hashes are settled by the servers' texts, so that every node settles them alike.
        let mut order: Vec<usize> = (0..servers.len()).collect();
        order.sort_by_key(|&server| &servers[server]);
        let mut points = Vec::new();
        for server in order {
            let address = &servers[server];
            for digest in 0..digests_per_server(servers.len()) {
                push_points(&mut points, address, digest, server as u32);
            }
        }
        points.sort_by_key(|&(hash, _)| hash);
        Self { points }
    }

    /// The server that has `key`, as an index.
    #[must_use]
    pub fn place(&self, key: &[u8]) -> usize {
        self.place_both(key).0
    }

    /// The server that has `key`, and the next other one on the circle, which has its second copy.
    /// With one server, both are that one.
    #[must_use]
    pub fn place_both(&self, key: &[u8]) -> (usize, usize) {
        // One server has everything; hashing would be for nothing.
        if let [(_, only)] = self.points[..] {
            return (only as usize, only as usize);
        }
        let digest: [u8; 16] = Md5::digest(key).into();
        let hash = word(&digest, 0);
        let at = self.points.partition_point(|&(point, _)| point < hash);
        let from = self.points[at..].iter().chain(&self.points[..at]);
        let mut servers = from.map(|&(_, server)| server as usize);
        let first = servers.next().expect("a ring has points");
        (first, servers.find(|&server| server != first).unwrap_or(first))
    }
}

/// libmemcached computes this in single precision, and so gets 156 points, not 160, for some
/// numbers of servers (25, 47, 50 ...). Whoever wants its placement must round as it does.
fn digests_per_server(servers: usize) -> u32 {
    let share = 1.0_f32 / servers as f32;
    let quarter = share * POINTS_PER_SERVER as f32 / POINTS_PER_DIGEST as f32 * servers as f32;
    let rounded = f64::from(quarter) + 0.000_000_000_1;
    (rounded as f32).floor() as u32
}

fn push_points(points: &mut Vec<(u32, u32)>, address: &Address, digest: u32, server: u32) {
    let text = if address.port() == DEFAULT_PORT {
        format!("{}-{digest}", address.host())
    } else {
        format!("{}:{}-{digest}", address.host(), address.port())
    };
    let digest: [u8; 16] = Md5::digest(text).into();
    points.extend((0..POINTS_PER_DIGEST as usize).map(|quarter| (word(&digest, quarter), server)));
}

/// The digest's `index`th four bytes, little endian.
fn word(digest: &[u8; 16], index: usize) -> u32 {
    let at = index * 4;
    u32::from_le_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    // The golden placements were computed by libmemcached 1.1.4 (Debian 12's libmemcached11),
    // called through Python's ctypes: memcached_create, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED = 1,
    // memcached_server_add for each server in this order, then memcached_generate_hash for
    // PEER_200, PEER_201 ... No cache server is needed for that. The MD5 is of the servers'
    // indices, a byte each, for key0 to key19999.

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| Address::parse(text).unwrap()).collect()
    }

    fn assert_golden(servers: &[Address], peers: &[usize], digest: &str) {
        let ring = Ring::new(servers);
        let placed: Vec<usize> =
            (200..200 + peers.len()).map(|n| ring.place(format!("PEER_{n}").as_bytes())).collect();
        assert_eq!(placed, peers);
        let all: Vec<u8> =
            (0..20_000).map(|n| ring.place(format!("key{n}").as_bytes()) as u8).collect();
        let found = Md5::digest(&all).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(found, digest);
    }

    #[test]
    fn three_servers_are_placed_as_libmemcached_places_them() {
        let servers = addresses(&["10.0.0.1", "10.0.0.2:11211", "cache.example.org:11300"]);
        let peers = [1, 2, 0, 0, 1, 2, 0, 0, 0, 1, 1, 1, 2, 0, 0, 0, 1, 1, 1, 2];
        assert_golden(&servers, &peers, "1fc70f5a63d5c2207629d85d11a552f2");
    }

    #[test]
    fn two_servers_on_one_host_are_placed_as_libmemcached_places_them() {
        let servers = addresses(&["127.0.0.1:11211", "127.0.0.1:11212"]);
        let peers = [1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 1];
        assert_golden(&servers, &peers, "2f6e212c51c0f83d47e77103cff28ac4");
    }

    #[test]
    fn twenty_five_servers_get_156_points_as_in_libmemcached() {
        let servers: Vec<Address> =
            (1..=25).map(|n| Address::parse(&format!("10.0.0.{n}")).unwrap()).collect();
        let peers = [23, 24, 24, 9, 6, 6, 6, 23, 23, 11, 8, 4, 11, 7, 3, 4, 19, 20, 11, 9];
        assert_golden(&servers, &peers, "2ce2c69f24c18a64cd3fa9e6c6b150d0");
        assert_eq!(Ring::new(&servers).points.len(), 25 * 156);
    }

    #[test]
    fn the_order_of_the_servers_does_not_matter() {
        let forward = addresses(&["a", "b:11300", "c"]);
        let backward: Vec<Address> = forward.iter().rev().cloned().collect();
        let (one, other) = (Ring::new(&forward), Ring::new(&backward));
        for n in 0..1000 {
            let key = format!("key{n}");
            let (one, other) = (one.place(key.as_bytes()), other.place(key.as_bytes()));
            assert_eq!(forward[one], backward[other]);
        }
    }

    #[test]
    fn one_server_has_everything() {
        let ring = Ring::new(&addresses(&["a"]));
        assert!((0..100).all(|n| ring.place(format!("key{n}").as_bytes()) == 0));
    }
}
