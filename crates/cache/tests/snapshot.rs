//! The content from a clean stop to the next start.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Client, ours, settings};
use tandem_cache::{Server, SnapshotError, StartError};

fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("snapshot-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder of our own");
    folder.join("cache.snapshot")
}

fn start(path: &Path) -> Server {
    ours(|settings| settings.snapshot = Some(path.to_owned()))
}

fn ask(server: &Server, commands: &str) -> String {
    Client::connect(server.addresses()[0]).text(commands)
}

/// A snapshot with some content, and its bytes.
fn written(name: &str) -> (PathBuf, Vec<u8>) {
    let path = scratch(name);
    let server = start(&path);
    ask(&server, "set a 7 0 3\r\none\r\nms YSBi 4 b\r\n\r\n\r\n\r\n\r\nset t 0 1000 1\r\n1\r\n");
    ask(&server, "set past 0 -1 1\r\n1\r\nset e 0 0 0\r\n\r\n");
    server.stop().expect("a clean stop");
    let bytes = fs::read(&path).expect("the snapshot");
    (path, bytes)
}

fn refused(path: &Path) -> SnapshotError {
    let mut settings = settings();
    settings.snapshot = Some(path.to_owned());
    match Server::start(settings) {
        Err(StartError::Snapshot(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_is_there_after_a_clean_stop_with_its_life_and_cas() {
    let (path, _) = written("there");
    let server = start(&path);
    let text = ask(&server, "mg a v f c t\r\nmg YSBi b v k\r\nmg e v\r\nmg past\r\n");
    assert_eq!(text, "VA 3 f7 c1 t-1\r\none\r\nVA 4 kYSBi b\r\n\r\n\r\n\r\nVA 0\r\n\r\nEN\r\n");
    let text = ask(&server, "mg t t\r\n");
    let left: u32 = text.trim().strip_prefix("HD t").unwrap().parse().unwrap();
    assert!((950..=1000).contains(&left), "{text}");
    assert_eq!(ask(&server, "ms new 1 c\r\n1\r\n"), "HD c6\r\n", "CAS numbers go on");
}

#[test]
fn what_was_loaded_is_not_loaded_again_after_a_crash() {
    let (path, _) = written("crash");
    let server = start(&path);
    assert!(!path.exists(), "moved aside before the first command");
    assert!(path.with_extension("snapshot.loaded").exists());
    ask(&server, "delete a\r\n");
    drop(server);
    let server = start(&path);
    assert_eq!(ask(&server, "mg a\r\nmg t\r\n"), "EN\r\nEN\r\n");
    server.stop().unwrap();
    assert!(!path.with_extension("snapshot.loaded").exists(), "a new one is there");
}

#[test]
fn a_damaged_file_is_refused_whole_and_left_where_it_is() {
    let (path, good) = written("damaged");
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        fs::write(&path, &bad).unwrap();
        let error = refused(&path);
        let text = error.to_string();
        assert!(text.contains("cache.snapshot") && text.contains("move it away"), "{text}");
        let foreign = matches!(error, SnapshotError::Foreign { .. });
        assert_eq!(foreign, at < 16, "byte {at}: {text}");
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
    for len in 0..good.len() {
        fs::write(&path, &good[..len]).unwrap();
        refused(&path);
    }
    fs::write(&path, [&good[..], b"more"].concat()).unwrap();
    assert!(matches!(refused(&path), SnapshotError::Damaged { .. }));
    fs::write(&path, &good).unwrap();
    assert_eq!(ask(&start(&path), "mg a\r\n"), "HD\r\n");
}

#[test]
fn another_programs_file_is_not_touched() {
    let path = scratch("foreign");
    fs::write(&path, "# Asterisk's\n[general]\n").unwrap();
    assert!(matches!(refused(&path), SnapshotError::Foreign { .. }));
    assert_eq!(fs::read(&path).unwrap(), b"# Asterisk's\n[general]\n");
}

#[test]
fn a_start_that_fails_for_another_reason_keeps_the_snapshot() {
    let (path, good) = written("port");
    let other = ours(|_| {});
    let mut settings = settings();
    settings.listen = other.addresses().to_vec();
    settings.snapshot = Some(path.clone());
    assert!(matches!(Server::start(settings), Err(StartError::Listen { .. })));
    assert_eq!(fs::read(&path).unwrap(), good);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_told_at_the_start() {
    let path = scratch("no-folder").with_file_name("missing").join("cache.snapshot");
    let error = refused(&path);
    assert!(matches!(error, SnapshotError::Write { .. }));
    assert!(error.to_string().contains("missing/cache.snapshot"), "{error}");
}

#[test]
fn two_caches_do_not_share_a_snapshot() {
    let (path, good) = written("shared");
    fs::write(&path, &good).unwrap();
    let one = start(&path);
    let error = refused(&path);
    assert!(matches!(error, SnapshotError::Held { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("cache.snapshot") && text.contains("stop the other one"), "{text}");
    one.stop().unwrap();
    let two = start(&path);
    assert_eq!(ask(&two, "mg a\r\n"), "HD\r\n");
    drop(two);
    assert_eq!(ask(&start(&path), "mg a\r\n"), "EN\r\n", "the lock goes with a crash too");
}

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let path = scratch("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert!(matches!(refused(&path), SnapshotError::NotAFile { .. }));
    let link = path.with_file_name("link");
    std::os::unix::fs::symlink("cache.snapshot", &link).unwrap();
    assert!(matches!(refused(&link), SnapshotError::NotAFile { .. }));
    assert!(matches!(refused(path.parent().unwrap()), SnapshotError::NotAFile { .. }));
}

#[test]
fn items_whose_word_is_not_good_for_old_content_are_not_taken_over() {
    let (path, _) = written("not-kept");
    let server = ours(|settings| {
        settings.snapshot = Some(path.clone());
        settings.not_kept = vec![b"a".to_vec()];
    });
    assert_eq!(ask(&server, "mg a\r\nmg e\r\n"), "EN\r\nHD\r\n");
}
