//! What counts as one address where something is bounded for each.

use std::net::IpAddr;

/// What stands for all addresses that one customer has: of IPv6 the /64, which anybody is given
/// whole; of IPv4 the address. One of IPv4 that came in IPv6 is the former.
///
/// ```
/// use std::net::IpAddr;
/// let of = |address: &str| acl::network_of(address.parse::<IpAddr>().expect("an address"));
/// assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
/// assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
/// assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
/// assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
/// ```
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => (v6.to_bits() & !u128::from(u64::MAX)).to_be_bytes().into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}
