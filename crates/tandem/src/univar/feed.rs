//! The change feed of `tandem cache`: which names to look at, at once.
//!
//! What the feed tells is a hint and nothing more: the names are read again through the store, which knows of copies,
//! envelopes and secrets. So a line that is lost costs time and no truth. memcached has no such feed: a server that
//! does not say `-tandem` in its version is left alone, and asked again a minute later.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use univar::Name;

/// How long a connection may take to come about, and an answer to come.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// When a feed that ended is asked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// When a server without a feed is asked again: another may have taken its place.
const NONE_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Longest line of a feed: a key, in base64 at worst, and numbers.
const LINE_MAX_BYTES: u64 = 1024;

/// News that wait; what is beyond holds the feed up, which then skips.
const NEWS_MAX: usize = 10_000;

/// What a feed tells.
enum News {
    /// Something happened to this name.
    Name(Name),
    /// Anything may have happened: look at all.
    All,
}

/// What several feeds told meanwhile.
pub(super) enum Hint {
    /// Nothing.
    Nothing,
    /// Something happened to these names, and as far as is known to no others.
    Names(BTreeSet<Name>),
    /// Anything may have happened.
    All,
}

/// The feeds of all cache servers that have one. Their threads end with the program.
pub(super) struct Feeds {
    news: Receiver<News>,
    /// So that waiting takes its time even if there is no feed at all.
    _open: SyncSender<News>,
    live: Arc<AtomicUsize>,
    servers: usize,
}

impl Feeds {
    /// Asks `servers` for what happens to names that begin with `prefix`.
    pub(super) fn start(servers: &[Option<SocketAddr>], prefix: &[u8]) -> Self {
        let (to, news) = mpsc::sync_channel(NEWS_MAX);
        let live = Arc::new(AtomicUsize::new(0));
        for &server in servers.iter().flatten() {
            let (to, live, prefix) = (to.clone(), Arc::clone(&live), prefix.to_vec());
            std::thread::spawn(move || follow(server, &prefix, &to, &live));
        }
        Self { news, _open: to, live, servers: servers.len() }
    }

    /// Whether every cache server tells of its changes.
    pub(super) fn are_complete(&self) -> bool {
        self.live.load(Ordering::Acquire) == self.servers
    }

    /// Waits for `time`, or for the first news.
    pub(super) fn wait(&self, time: Duration) -> Hint {
        let Ok(first) = self.news.recv_timeout(time) else { return Hint::Nothing };
        let mut names = BTreeSet::new();
        let mut all = false;
        for news in std::iter::once(first).chain(self.news.try_iter().take(NEWS_MAX)) {
            match news {
                News::Name(name) => {
                    names.insert(name);
                }
                News::All => all = true,
            }
        }
        if all { Hint::All } else { Hint::Names(names) }
    }
}

/// Follows one server's feed for ever, or until nobody listens.
fn follow(server: SocketAddr, prefix: &[u8], to: &SyncSender<News>, live: &AtomicUsize) {
    loop {
        let pause = match attach(server, prefix) {
            Ok(Some(mut feed)) => {
                live.fetch_add(1, Ordering::AcqRel);
                // What happened before is not told; and after the end, nothing is.
                let told = to.send(News::All).is_ok() && tell(&mut feed, to);
                live.fetch_sub(1, Ordering::AcqRel);
                if !told || to.send(News::All).is_err() {
                    return;
                }
                AGAIN_AFTER
            }
            Ok(None) => NONE_AGAIN_AFTER,
            Err(_) => AGAIN_AFTER,
        };
        std::thread::sleep(pause);
    }
}

/// Asks for the feed. `None` if the server has none.
fn attach(server: SocketAddr, prefix: &[u8]) -> io::Result<Option<BufReader<TcpStream>>> {
    let stream = TcpStream::connect_timeout(&server, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut feed = BufReader::new(stream);
    feed.get_mut().write_all(b"version\r\n")?;
    let version = line(&mut feed)?;
    if !version.windows(7).any(|part| part == b"-tandem") {
        return Ok(None);
    }
    let ask = [b"watch tandem ", prefix, b"\r\n"].concat();
    feed.get_mut().write_all(&ask)?;
    if line(&mut feed)? != b"OK" {
        return Ok(None);
    }
    feed.get_ref().set_read_timeout(None)?;
    Ok(Some(feed))
}

/// Tells what the feed tells, until it ends. `false` if nobody listens.
fn tell(feed: &mut BufReader<TcpStream>, to: &SyncSender<News>) -> bool {
    loop {
        let Ok(line) = line(feed) else { return true };
        let Some(event) = Event::parse(&line) else { return true };
        if let Some(len) = event.value_len {
            // The value, and its line end.
            let len = len.saturating_add(2);
            match io::copy(&mut feed.by_ref().take(len), &mut io::sink()) {
                Ok(skipped) if skipped == len => {}
                _ => return true,
            }
        }
        if let Some(news) = event.news
            && to.send(news).is_err()
        {
            return false;
        }
    }
}

/// One line, without its end.
fn line(feed: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    feed.take(LINE_MAX_BYTES).read_until(b'\n', &mut line)?;
    let text = line.strip_suffix(b"\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(text.strip_suffix(b"\r").unwrap_or(text).to_vec())
}

/// A line of the feed.
struct Event {
    /// What it means to us; nothing for Tandem's own items.
    news: Option<News>,
    /// A value of this length follows.
    value_len: Option<u64>,
}

impl Event {
    /// `None`: this is no line of a feed.
    fn parse(line: &[u8]) -> Option<Self> {
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let all = Self { news: Some(News::All), value_len: None };
        // How many words stand behind the key.
        let numbers = match words[0] {
            b"SET" => 3,
            b"TOUCH" => 1,
            b"DELETE" | b"EXPIRE" | b"EVICT" => 0,
            b"FLUSH" | b"SKIPPED" => return Some(all),
            _ => return None,
        };
        let key = words.get(1)?;
        let key = match words.get(2 + numbers..)? {
            [] => key.to_vec(),
            [b"b"] => BASE64.decode(key).ok()?,
            _ => return None,
        };
        let value_len = match numbers {
            3 => Some(std::str::from_utf8(words[4]).ok()?.parse().ok()?),
            _ => None,
        };
        // A name that we would not read is nobody's business here.
        let news = Name::new(&key).ok().map(News::Name);
        Some(Self { news, value_len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<(Option<String>, Option<u64>)> {
        let event = Event::parse(line.as_bytes())?;
        let news = event.news.map(|news| match news {
            News::Name(name) => name.to_string(),
            News::All => "(all)".to_owned(),
        });
        Some((news, event.value_len))
    }

    #[test]
    fn each_kind_of_line_names_what_to_look_at() {
        let name = |name: &str, len| Some((Some(name.to_owned()), len));
        assert_eq!(parsed("SET PEER_1 0 -1 12"), name("PEER_1", Some(12)));
        assert_eq!(parsed("SET UEVFUl8x 0 60 0 b"), name("PEER_1", Some(0)));
        assert_eq!(parsed("TOUCH b 5"), name("b", None));
        assert_eq!(parsed("DELETE b"), name("b", None));
        assert_eq!(parsed("EXPIRE UEVFUl8x b"), name("PEER_1", None));
        assert_eq!(parsed("EVICT x"), name("x", None));
        assert_eq!(parsed("FLUSH"), name("(all)", None));
        assert_eq!(parsed("SKIPPED 5"), name("(all)", None));
        assert_eq!(parsed("SET tandem:epoch 0 -1 18"), Some((None, Some(18))));
    }

    #[test]
    fn what_is_no_line_of_a_feed_is_told_from_one() {
        for bad in ["", "SET", "SET x", "SET x 0 -1 much", "DELETE", "DELETE x y", "HELLO x"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
