//! Ordered access lists: the first rule that matches decides, and where there is a rule at all,
//! whatever no rule matches is denied.
//!
//! Asterisk's own lists differ: there, the last rule that matches decides (`acl.c`,
//! `ast_apply_acl`).
//!
//! ```
//! let rules = ["permit 192.168.1.1", "deny 192.168.1.0/24", "permit 192.168.0.0/16"];
//! let list = acl::Acl::parse(rules).expect("three good rules");
//! let permits = |address: &str| list.permits(address.parse().expect("an address"));
//! assert!(permits("192.168.1.1"));
//! assert!(!permits("192.168.1.2"));
//! assert!(permits("::ffff:192.168.2.1"), "an IPv4 address in an IPv6 one is that address");
//! assert!(!permits("10.0.0.1"), "by default");
//! assert!(acl::Acl::default().permits("10.0.0.1".parse().expect("an address")), "no rule at all");
//! ```

#![forbid(unsafe_code)]

mod network;

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

pub use network::network_of;

/// A list of rules. The default has none and permits everybody.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Acl {
    rules: Vec<Rule>,
}

/// Whom a rule is about, and what it says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Whether they are let in.
    pub permits: bool,
    /// Which addresses.
    pub net: IpNet,
}

/// Why a line is no rule. Whoever wrote the configuration erred.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// It does not begin with what it does.
    #[error("{0:?} is no rule: write `permit ADDRESS` or `deny ADDRESS/PREFIX`")]
    NoWord(String),
    /// Not an address or a network.
    #[error(
        "{0:?} is no address and no network: write 192.168.1.1, 192.168.1.0/24 or 2001:db8::/32"
    )]
    NotANet(String),
    /// Bits are set that the prefix does not cover, so the author may have meant something else.
    #[error(
        "{written} has bits beyond its prefix: write {meant} for the network, or the address alone"
    )]
    HostBits {
        /// As it was written.
        written: String,
        /// The network of that prefix.
        meant: IpNet,
    },
}

impl Acl {
    /// Reads rules in their order.
    ///
    /// # Errors
    ///
    /// The first line that is no rule.
    pub fn parse<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<Self, RuleError> {
        let rules = lines.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// Whether that address is let in.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let first = self.rules.iter().find(|rule| rule.net.contains(&address));
        first.map_or(self.rules.is_empty(), |rule| rule.permits)
    }

    /// The rules in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl FromIterator<Rule> for Acl {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        Self { rules: rules.into_iter().collect() }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    /// `permit 10.0.0.0/8`, or as a line of a configuration, `deny = 10.1.2.3`.
    fn from_str(line: &str) -> Result<Self, RuleError> {
        let line = line.trim();
        let end = line.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        let permits = match word.to_ascii_lowercase().as_str() {
            "permit" => true,
            "deny" => false,
            _ => return Err(RuleError::NoWord(line.into())),
        };
        let rest = rest.trim_start();
        let written = rest.strip_prefix('=').map_or(rest, |value| value.trim_start_matches('>'));
        Ok(Self { permits, net: net(written.trim())? })
    }
}

fn net(written: &str) -> Result<IpNet, RuleError> {
    if let Ok(address) = written.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let net: IpNet = written.parse().map_err(|_| RuleError::NotANet(written.into()))?;
    if net.trunc() != net {
        return Err(RuleError::HostBits { written: written.into(), meant: net.trunc() });
    }
    Ok(canonical(net))
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`: addresses are compared in their shorter form.
fn canonical(net: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let (IpNet::V6(v6), IpAddr::V4(v4)) = (net, net.addr().to_canonical()) else { return net };
    match v6.prefix_len().checked_sub(MAPPED_BITS) {
        Some(bits) => IpNet::new(v4.into(), bits).unwrap_or(net),
        None => net,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acl(lines: &str) -> Acl {
        Acl::parse(lines.split(';')).expect("good rules")
    }

    fn permits(list: &Acl, address: &str) -> bool {
        list.permits(address.parse().expect("an address"))
    }

    #[test]
    fn order_decides() {
        let narrow_first = acl("deny 10.0.0.1; permit 10.0.0.0/8");
        assert!(!permits(&narrow_first, "10.0.0.1"));
        assert!(permits(&narrow_first, "10.0.0.2"));
        let wide_first = acl("permit 10.0.0.0/8; deny 10.0.0.1");
        assert!(permits(&wide_first, "10.0.0.1"), "Asterisk's own lists would say no");
    }

    #[test]
    fn one_rule_means_that_all_else_is_denied() {
        assert!(!permits(&acl("permit 10.0.0.1"), "10.0.0.2"));
        assert!(!permits(&acl("deny 10.0.0.1"), "10.0.0.2"));
        assert!(permits(&acl("deny 10.0.0.1; permit 0.0.0.0/0"), "10.0.0.2"));
        assert!(!permits(&acl("permit 0.0.0.0/0"), "2001:db8::1"), "another family");
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_on_both_sides() {
        assert!(!permits(
            &acl("deny 10.0.0.0/8; permit ::/0; permit 0.0.0.0/0"),
            "::ffff:10.1.2.3"
        ));
        assert!(permits(&acl("permit ::ffff:10.0.0.0/104"), "10.1.2.3"));
        assert!(permits(&acl("permit ::ffff:10.0.0.1"), "10.0.0.1"));
    }

    #[test]
    fn a_rule_may_be_written_as_a_setting() {
        for line in ["permit = 10.0.0.1", "permit=>10.0.0.1", " PERMIT 10.0.0.1 "] {
            assert_eq!(acl(line), acl("permit 10.0.0.1"), "{line:?}");
        }
    }

    #[test]
    fn what_is_no_rule_says_what_to_write() {
        let error = |line: &str| line.parse::<Rule>().expect_err(line).to_string();
        assert!(error("allow 10.0.0.1").contains("write `permit ADDRESS`"));
        assert!(error("permit").contains("write 192.168.1.1"));
        assert!(error("permit 10.0.0.0/33").contains("no network"));
        assert!(error("permit 10.0.0.0/255.0.0.0").contains("no network"));
        assert_eq!(
            error("permit 10.0.0.1/8"),
            "10.0.0.1/8 has bits beyond its prefix: write 10.0.0.0/8 for the network, or the \
             address alone"
        );
    }

    proptest! {
        #[test]
        fn the_first_that_matches_decides(
            rules in proptest::collection::vec((any::<bool>(), any::<u32>(), 0u8..=32), 0..8),
            address in any::<u32>(),
        ) {
            let nets = rules.iter().map(|&(permits, bits, prefix)| {
                let net = IpNet::new(IpAddr::from(bits.to_be_bytes()), prefix).expect("a prefix");
                (permits, net.trunc())
            });
            let nets: Vec<(bool, IpNet)> = nets.collect();
            let lines = nets.iter().map(|(permits, net)| {
                format!("{} {net}", if *permits { "permit" } else { "deny" })
            });
            let lines: Vec<String> = lines.collect();
            let list = Acl::parse(lines.iter().map(String::as_str)).expect("good rules");
            let mut wanted = nets.is_empty();
            for (permits, net) in &nets {
                let shift = 32 - u32::from(net.prefix_len());
                let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
                let IpAddr::V4(base) = net.addr() else { unreachable!() };
                if address & mask == u32::from(base) {
                    wanted = *permits;
                    break;
                }
            }
            prop_assert_eq!(list.permits(IpAddr::from(address.to_be_bytes())), wanted);
        }
    }
}
