//! The socket that connections come to.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

/// What may wait to be accepted, as the standard library has it.
const BACKLOG: i32 = 128;

/// Listens there. All addresses (`::`) are those of IPv4, too, and without IPv6 in the kernel they
/// are all that there are.
pub(crate) fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    Ok(as_far_as_known(address, open)?)
}

fn as_far_as_known<T>(
    address: SocketAddr,
    open: impl Fn(SocketAddr) -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    match open(address) {
        Err(Errno::AFNOSUPPORT) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            open((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        other => other,
    }
}

fn open(address: SocketAddr) -> rustix::io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // Whatever net.ipv6.bindv6only says.
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn without_ipv6_all_addresses_are_those_of_ipv4() {
        let without = |address: SocketAddr| match address {
            SocketAddr::V4(_) => Ok(address),
            SocketAddr::V6(_) => Err(Errno::AFNOSUPPORT),
        };
        let found = |text: &str| as_far_as_known(address(text), without);
        assert_eq!(found("[::]:8011"), Ok(address("0.0.0.0:8011")));
        assert_eq!(found("[2001:db8::1]:8011"), Err(Errno::AFNOSUPPORT), "that is not here");
        assert_eq!(found("127.0.0.1:8011"), Ok(address("127.0.0.1:8011")));
        let taken = |_| Err::<(), _>(Errno::ADDRINUSE);
        assert_eq!(as_far_as_known(address("[::]:8011"), taken), Err(Errno::ADDRINUSE));
    }

    #[test]
    fn all_addresses_are_those_of_ipv4_too() {
        let listener = listen_at(address("[::]:0")).expect("a socket");
        let at = listener.local_addr().expect("an address");
        if at.is_ipv6() {
            assert_eq!(sockopt::ipv6_v6only(&listener), Ok(false));
        }
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, at.port())).is_ok());
    }
}
