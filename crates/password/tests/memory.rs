//! What a try takes does not stay. Alone in its file: nobody else is to use memory meanwhile.

use std::fs;
use std::thread;

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.expect("it tells the memory")
}

#[test]
fn its_memory_is_given_back_whoever_asks() {
    let kept = password::hash("correct horse").expect("a good one");
    let before = resident_kib();
    for _ in 0..8 {
        thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    assert_eq!(password::is_right("correct horse", Some(&kept)), Ok(true));
                });
            }
        });
    }
    let after = resident_kib();
    assert!(after < before + 10 * 1024, "{before} kB before, {after} kB after 32 tries");
}
