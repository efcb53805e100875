//! Connections: many, too many, slow ones, and what they cost.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use common::{Client, ours, until};
use tandem_cache::{Server, StartError};

const MANY: usize = 10_000;

/// Says that this process is to be a server, and nothing else.
const SERVE: &str = "TANDEM_CACHE_TEST_SERVES";

/// A server in a process of its own: the limit of open files is for each process, and so is what is counted of its
/// memory.
struct Apart {
    child: Child,
    address: SocketAddr,
}

impl Apart {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "a_server_for_another_process", "--nocapture"])
            .env(SERVE, "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program once more");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let address = lines.map_while(Result::ok).find_map(|line| {
            let (_, address) = line.split_once("listens on ")?;
            address.parse().ok()
        });
        Self { child, address: address.expect("it says where it listens") }
    }

    /// What it has in use, in bytes.
    fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("our own child");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.expect("VmRSS").trim().trim_end_matches(" kB");
        kib.parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does nothing unless another test has started this program for it.
#[test]
fn a_server_for_another_process() {
    if std::env::var_os(SERVE).is_none() {
        return;
    }
    let server = ours(|settings| settings.connections_max = MANY + 100);
    println!("listens on {}", server.addresses()[0]);
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn ten_thousand_connections_are_served_and_cost_little() {
    let server = Apart::start();
    // Nobody connects to it: it has the limit of open files raised for our ends of the connections.
    let _raised = ours(|settings| settings.connections_max = MANY + 100);
    let before = server.resident_bytes();
    let mut clients: Vec<_> =
        (0..MANY).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        write!(client, "set k{number} 0 0 1\r\n1\r\n").unwrap();
    }
    for client in &mut clients {
        let mut answer = [0; 8];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"STORED\r\n");
    }
    let each = (server.resident_bytes() - before) / MANY as u64;
    assert!(each < 1024, "{each} bytes for each connection and its item");
    let mut last = Client::connect(server.address);
    assert_eq!(last.stat("curr_connections"), MANY as u64 + 1);
    drop(clients);
    until("all connections are closed", || last.stat("curr_connections") == 1);
}

#[test]
fn who_is_one_too_many_is_told_so() {
    let server = ours(|settings| settings.connections_max = 2);
    let address = server.addresses()[0];
    let mut clients = [Client::connect(address), Client::connect(address)];
    for client in &mut clients {
        assert_eq!(client.text(""), "");
    }
    assert_eq!(Client::connect(address).line(), "ERROR Too many open connections");
    let [mut stays, leaves] = clients;
    assert_eq!(stays.stat("rejected_connections"), 1);
    drop(leaves);
    until("there is room again", || stays.stat("curr_connections") == 1);
    assert_eq!(Client::connect(address).text("mg a\r\n"), "EN\r\n");
}

#[test]
fn who_does_not_read_is_not_answered_without_end_and_holds_nobody_up() {
    const VALUE: usize = 500_000;
    let server = ours(|settings| settings.threads = 1);
    let address = server.addresses()[0];
    let mut other = Client::connect(address);
    let set = format!("set big 0 0 {VALUE}\r\n{}\r\n", "v".repeat(VALUE));
    assert_eq!(other.text(&set), "STORED\r\n");

    let mut slow = TcpStream::connect(address).unwrap();
    slow.set_nonblocking(true).unwrap();
    // 500 MB of answers, if they were made.
    let gets = b"get big\r\n".repeat(1000);
    let sent = slow.write(&gets).unwrap();
    assert_eq!(sent, gets.len());
    until("it is answered", || other.stat("get_hits") > 0);
    let before = other.stat("get_hits");
    assert!(before < 100, "{before} answers for one who reads none");
    assert_eq!(other.text("mg none\r\n"), "EN\r\n");

    slow.set_nonblocking(false).unwrap();
    let mut left = 1000 * (VALUE + b"VALUE big 0 500000\r\n\r\nEND\r\n".len());
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        let len = slow.read(&mut buffer).unwrap();
        assert!(len > 0, "closed with {left} bytes to come");
        left -= len;
    }
    assert_eq!(other.stat("get_hits"), 1000);
}

#[test]
fn a_line_without_an_end_is_not_kept_without_end() {
    let server = ours(|_| {});
    let mut client = Client::connect(server.addresses()[0]);
    client.send(&[b'x'; 1_000_000]);
    assert_eq!(client.read_to(b"never"), b"");
    let mut client = Client::connect(server.addresses()[0]);
    client.send(b"get");
    client.send(&b" key".repeat(1_000_000));
    assert_eq!(client.read_to(b"never"), b"");
}

#[test]
fn commands_before_the_end_of_a_connection_are_answered() {
    let server = ours(|_| {});
    let mut stream = TcpStream::connect(server.addresses()[0]).unwrap();
    stream.write_all(b"set a 0 0 1\r\n1\r\nget a\r\nget b").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn all_threads_together_lose_no_count() {
    const CLIENTS: usize = 8;
    const EACH: usize = 2_000;
    let server = ours(|_| {});
    let address = server.addresses()[0];
    Client::connect(address).text("set n 0 0 1\r\n0\r\n");
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                for _ in 0..EACH / 100 {
                    client.ask(&b"incr n 1\r\n".repeat(100));
                }
            });
        }
    });
    let text = Client::connect(address).text("mg n v\r\n");
    assert_eq!(text, format!("VA 5\r\n{}\r\n", CLIENTS * EACH));
}

#[test]
fn the_statistics_that_operators_read_are_there_and_count() {
    let server = ours(|settings| settings.memory_bytes = 2 << 20);
    let mut client = Client::connect(server.addresses()[0]);
    let value = "v".repeat(900_000);
    for number in 0..4 {
        client.text(&format!("set k{number} 0 0 900000\r\n{value}\r\nget k{number}\r\n"));
    }
    client.text("get none\r\nset short 0 -1 1\r\n1\r\n");
    assert_eq!(client.stat("limit_maxbytes"), 2 << 20);
    assert_eq!(client.stat("evictions"), 2);
    assert_eq!(client.stat("evicted_unfetched"), 0);
    assert_eq!((client.stat("get_hits"), client.stat("get_misses")), (4, 1));
    assert_eq!((client.stat("cmd_get"), client.stat("cmd_set")), (5, 5));
    assert_eq!(client.stat("total_items"), 5);
    until("what has ended is taken out", || client.stat("expired_unfetched") == 1);
    assert_eq!(client.stat("curr_items"), 2);
    assert!((1_800_000..2 << 20).contains(&client.stat("bytes")));
    assert_eq!(client.stat("pid"), u64::from(std::process::id()));
    assert_eq!(client.text("stats reset\r\n"), "RESET\r\n");
    assert_eq!((client.stat("get_hits"), client.stat("evictions")), (0, 0));
}

#[test]
fn metadump_lists_every_item_however_many() {
    let server = ours(|_| {});
    let mut client = Client::connect(server.addresses()[0]);
    let sets: String =
        (0..20_000).map(|number| format!("set key%{number} 0 1000 1 noreply\r\n1\r\n")).collect();
    client.text(&sets);
    let text = client.text("lru_crawler metadump all\r\nmg none\r\n");
    let (list, rest) = text.split_once("END\r\n").unwrap();
    assert_eq!(rest, "EN\r\n", "the connection goes on");
    let mut keys: Vec<_> = list.lines().map(|line| line.split(' ').next().unwrap()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 20_000);
    assert!(keys.iter().all(|key| key.starts_with("key=key%25")), "{}", keys[0]);
    assert!(list.lines().all(|line| line.contains(" fetch=no cls=1 size=")));
}

#[test]
fn a_port_that_is_taken_is_told_with_its_address() {
    let server = ours(|_| {});
    let mut settings = common::settings();
    settings.listen = server.addresses().to_vec();
    let error = Server::start(settings).unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }));
    assert!(error.to_string().contains(&server.addresses()[0].to_string()), "{error}");
}

#[test]
fn a_cache_listens_everywhere_it_is_told_to_and_frees_it_all() {
    let server = ours(|settings| {
        settings.listen = ["127.0.0.1:0", "127.0.0.2:0"].map(|at| at.parse().unwrap()).to_vec();
    });
    let addresses = server.addresses().to_vec();
    assert_eq!(Client::connect(addresses[0]).text("set a 0 0 1\r\n1\r\n"), "STORED\r\n");
    assert_eq!(Client::connect(addresses[1]).text("mg a\r\n"), "HD\r\n");
    server.stop().unwrap();
    let again = ours(|settings| settings.listen = addresses);
    assert_eq!(Client::connect(again.addresses()[0]).text("mg a\r\n"), "EN\r\n");
}
