//! The lab itself: what every other test stands on.

use std::time::{Duration, Instant};

use anyhow::Result;
use tandem_lab::Lab;

#[test]
fn three_servers_start_fast_and_without_a_warning() -> Result<()> {
    let begun = Instant::now();
    let lab = Lab::start("lab-start")?;
    let took = begun.elapsed();
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    for server in lab.servers() {
        assert!(server.cli("core show version")?.starts_with("Asterisk 22"));
        assert!(server.rss_bytes()? > 1_000_000);
        assert!(server.maps_contains("chan_pjsip")?);
    }
    assert!(took < Duration::from_secs(10), "took {took:?}");
    Ok(())
}
