//! The database, in files of the test's own.

use super::*;
use crate::secret::{Hash, hash};

/// A database in a folder that goes with it.
struct Scratch {
    db: Db,
    folder: PathBuf,
}

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tandem-hub-{name}-{}", std::process::id()));
        let _none = std::fs::remove_dir_all(&folder);
        Self { db: Db::open(&folder.join("hub.db")).expect("a new one"), folder }
    }

    fn run<T>(&self, act: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> T {
        self.db.now(act).expect("it is done")
    }

    /// Begins a session, as a login does.
    fn begin(&self, user: &str, hash: Hash) -> bool {
        let checked = self.run(|db| users::credentials(db, user)).expect("there is the user");
        self.begin_checked(user, hash, &checked)
    }

    fn begin_checked(&self, user: &str, hash: Hash, checked: &users::Credentials) -> bool {
        let (user, csrf, address) = (user.into(), "csrf".into(), "127.0.0.1".into());
        let new = sessions::NewSession { hash, user, csrf, address };
        self.run(|db| sessions::begin(db, 0, &new, checked))
    }

    fn path(&self) -> PathBuf {
        self.folder.join("hub.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

const HOUR_MS: i64 = 3_600_000;

#[test]
fn it_is_opened_again_as_it_was_and_only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new("again");
    assert!(scratch.run(|db| users::add(db, 1, "ann", Role::Viewer, "hash")));
    assert!(
        !scratch.run(|db| users::add(db, 2, "ann", Role::Viewer, "other")),
        "the name is taken"
    );
    let again = Db::open(&scratch.path()).expect("the same");
    let all = again.now(|db| users::list(db)).expect("a list");
    assert_eq!((all.len(), all[0].name.as_str(), all[0].created_ms), (1, "ann", 1));
    let mode = std::fs::metadata(scratch.path()).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn one_of_a_later_version_and_one_that_is_none_are_refused_by_name() {
    let scratch = Scratch::new("later");
    scratch.run(|db| db.pragma_update(None, "user_version", schema::VERSION + 1));
    let error = Db::open(&scratch.path()).expect_err("it is newer").to_string();
    assert!(error.contains("hub.db was written by a later version"), "{error}");

    let none = scratch.folder.join("none.db");
    std::fs::write(
        &none,
        "this is no database, and long enough for a header of one, which has 100 bytes. ".repeat(9),
    )
    .expect("it is written");
    let error = Db::open(&none).expect_err("it is none").to_string();
    assert!(error.contains("none.db: it is damaged or no database"), "{error}");
}

#[test]
fn a_session_ends_when_it_is_not_used_and_when_it_is_old() {
    let scratch = Scratch::new("sessions");
    let (one, two) = (hash("one"), hash("two"));
    scratch.run(|db| users::add(db, 0, "ann", Role::Operator, "hash"));
    assert!(scratch.begin("ann", one));
    let is_good = |now_ms, of| scratch.run(|db| sessions::of(db, now_ms, of)).is_some();
    assert!(is_good(11 * HOUR_MS, &one));
    assert!(is_good(22 * HOUR_MS, &one), "it was used in between");
    assert!(!is_good(35 * HOUR_MS, &one), "it was not");

    assert!(scratch.begin("ann", two));
    for hour in (0..=7 * 24).step_by(10) {
        assert!(is_good(hour * HOUR_MS, &two), "{hour}");
    }
    assert!(!is_good(7 * 24 * HOUR_MS + 1, &two));
}

#[test]
fn a_session_goes_with_its_user_and_knows_a_new_role() {
    let scratch = Scratch::new("roles");
    let one = hash("one");
    for (name, role) in [("ada", Role::Administrator), ("ann", Role::Viewer)] {
        scratch.run(|db| users::add(db, 0, name, role, "hash"));
    }
    assert!(scratch.begin("ann", one));
    scratch.run(|db| users::set_role(db, "ann", Role::Operator)).expect("it is changed");
    let role = scratch.run(|db| sessions::of(db, 1, &one)).map(|session| session.role);
    assert_eq!(role, Some(Role::Operator));
    assert_eq!(scratch.run(|db| users::remove(db, "ann")), Ok(()));
    assert!(scratch.run(|db| sessions::of(db, 1, &one)).is_none());
}

#[test]
fn a_login_that_was_under_way_while_the_password_changed_is_none() {
    let scratch = Scratch::new("race");
    scratch.run(|db| users::add(db, 0, "ann", Role::Operator, "old"));
    let checked = scratch.run(|db| users::credentials(db, "ann")).expect("ann");
    scratch.run(|db| users::set_password(db, "ann", "new", None)).expect("it is changed");
    assert!(!scratch.begin_checked("ann", hash("one"), &checked));
    let checked = scratch.run(|db| users::credentials(db, "ann")).expect("ann");
    scratch.run(|db| users::set_totp(db, "ann", Some("secret"))).expect("it is set");
    assert!(!scratch.begin_checked("ann", hash("two"), &checked), "it asks for codes now");
    assert!(scratch.begin("ann", hash("three")));
}

#[test]
fn the_last_administrator_is_not_let_go() {
    let scratch = Scratch::new("last");
    let last = Err(NotChanged::LastAdministrator);
    let change = |act: fn(&Connection) -> users::Changed| {
        scratch.run(|db| audit::change(db, Entry::shell(0, "", ""), |db, _| act(db)))
    };
    scratch.run(|db| users::add(db, 0, "ada", Role::Administrator, "hash"));
    assert_eq!(change(|db| users::remove(db, "ada")), last);
    assert_eq!(change(|db| users::set_role(db, "ada", Role::Viewer)), last);
    let all = scratch.run(|db| users::list(db));
    assert_eq!((all.len(), all[0].role), (1, Role::Administrator), "nothing was changed");
    scratch.run(|db| users::add(db, 0, "eve", Role::Administrator, "hash"));
    assert_eq!(change(|db| users::remove(db, "ada")), Ok(()));
}

#[test]
fn a_one_time_code_and_a_token_to_enrol_with_are_good_once() {
    let scratch = Scratch::new("once");
    scratch.run(|db| users::add(db, 0, "ann", Role::Viewer, "hash"));
    assert!(scratch.run(|db| users::use_totp(db, "ann", 7)));
    assert!(!scratch.run(|db| users::use_totp(db, "ann", 7)));
    assert!(!scratch.run(|db| users::use_totp(db, "ann", 6)), "nor one from before");
    assert!(scratch.run(|db| users::use_totp(db, "ann", 8)));

    let [token, key, second] = ["token", "key", "second"].map(hash);
    scratch.run(|db| agents::invite(db, "berlin", &token, 100));
    assert_eq!(scratch.run(|db| agents::of_token(db, 100, &token)), None, "its day is over");
    let enrol = |key| scratch.run(|db| agents::enrol(db, 99, &token, key));
    assert_eq!(enrol(&key).as_deref(), Some("berlin"));
    assert_eq!(enrol(&second), None);
    assert_eq!(scratch.run(|db| agents::of_key(db, &key)).as_deref(), Some("berlin"));
    assert_eq!(scratch.run(|db| agents::of_key(db, &second)), None);
}

fn became(at_ms: i64, registration: &str) -> PeerRow {
    PeerRow {
        at_ms,
        server: "A".into(),
        driver: "PJSIP".into(),
        name: "200".into(),
        registration: registration.into(),
        address: None,
    }
}

#[test]
fn a_span_of_the_past_begins_with_what_was_so_before() {
    let scratch = Scratch::new("past");
    let rows = [became(10, "registered"), became(20, "unreachable"), became(30, "registered")];
    scratch.run(|db| history::add(db, &rows, &[]));
    let past = |span| {
        let rows = scratch.run(|db| history::peer(db, "A", "PJSIP", "200", span, 100));
        rows.into_iter().map(|row| row.at_ms).collect::<Vec<_>>()
    };
    assert_eq!(past([15, 100]), [10, 20, 30]);
    assert_eq!(past([20, 30]), [20], "its end is not within it");
    assert_eq!(past([0, 100]), [10, 20, 30]);
    assert_eq!(past([40, 100]), [30], "nothing happened, and it is known how it was");

    scratch.run(|db| history::forget(db, 25));
    assert_eq!(past([0, 100]), [20, 30], "it was so still at 25");
    scratch.run(|db| history::forget(db, 100));
    assert_eq!(past([40, 100]), [30], "the last state stays, however old");
}

#[test]
fn while_the_hub_was_away_nothing_was_known() {
    let scratch = Scratch::new("away");
    let other = PeerRow { name: "201".into(), ..became(15, "unregistered") };
    let rows = [became(10, "registered"), became(20, "unreachable"), other];
    scratch.run(|db| history::add(db, &rows, &[]));
    scratch.run(|db| history::alive(db, 30));
    for _ in 0..2 {
        scratch.run(history::begin);
        let past = |name| {
            let rows = scratch.run(|db| history::peer(db, "A", "PJSIP", name, [0, 100], 100));
            rows.into_iter().map(|row| (row.at_ms, row.registration)).collect::<Vec<_>>()
        };
        let was = |rows: &[(i64, &str)]| {
            rows.iter().map(|&(at_ms, word)| (at_ms, word.to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(past("200"), was(&[(10, "registered"), (20, "unreachable"), (30, "unknown")]));
        assert_eq!(past("201"), was(&[(15, "unregistered"), (30, "unknown")]), "once is enough");
    }
}

#[test]
fn who_is_in_stays_in_while_nothing_can_be_written() {
    let scratch = Scratch::new("unwritable");
    assert!(scratch.run(|db| users::add(db, 1, "ann", Role::Viewer, "hash")));
    assert!(scratch.begin("ann", hash("session")));
    scratch.run(|db| tokens::add(db, 0, "metrics", Role::Viewer, &hash("token"), None));
    scratch.run(|db| db.pragma_update(None, "query_only", true));
    assert!(scratch.db.now(|db| users::remove(db, "ann")).is_err(), "nothing can be written");
    let session = scratch.run(|db| sessions::of(db, HOUR_MS, &hash("session")));
    assert_eq!(session.expect("a session").user, "ann");
    let token = scratch.run(|db| tokens::of(db, HOUR_MS, &hash("token")));
    assert_eq!(token.expect("a token").0, "metrics");
}

#[test]
fn a_users_name_is_what_everybody_reads_in_it() {
    for good in ["ann", "O'Brien", "ann@example.com", "स्त्री", "e\u{301}lan", "emoji-🙂"]
    {
        assert_eq!(users::check_name(good), Ok(()), "{good:?}");
    }
    let long = "x".repeat(users::NAME_MAX_BYTES + 1);
    for bad in [
        "",
        "-ann",
        "shell",
        "Shell",
        "a b",
        "token:a",
        "a/b",
        "a\u{202e}b",
        "a\u{200b}",
        "a\n",
        &long,
    ] {
        assert!(users::check_name(bad).is_err(), "{bad:?}");
    }
}
