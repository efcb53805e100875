//! A cache on its own, until standard input ends: `cargo run -p tandem-cache --example serve --
//! 127.0.0.1:11211 [THREADS]`. The command for everyday use is `tandem cache`.

use std::io::Read as _;

use tandem_cache::{Server, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut settings = Settings::default();
    if let Some(address) = arguments.next() {
        settings.listen = vec![address.parse()?];
    }
    if let Some(threads) = arguments.next() {
        settings.threads = threads.parse()?;
    }
    let server = Server::start(settings)?;
    println!("{}", server.addresses()[0]);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.stop()?;
    Ok(())
}
