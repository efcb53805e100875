//! Without memory nobody is let in, and nobody is accused. Alone in its file: the memory is everybody's.

use attendant::Security;

#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "attendant/fake.rs"]
mod fake;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "attendant/rig.rs"]
mod rig;
#[path = "../../password/tests/short_memory/mod.rs"]
mod short_memory;

use rig::{PASSWORD, Rig};
use short_memory::set_short;

#[test]
fn a_password_that_cannot_be_looked_at_is_not_a_wrong_one() {
    let rig = Rig::new();
    let credentials = format!("{{\"user\":\"admin\",\"password\":\"{PASSWORD}\"}}");
    set_short(true);
    for _ in 0..10 {
        let reply = rig.admin().get("/api/status");
        assert_eq!((reply.status, reply.field("Retry-After")), (503, "1"), "{reply:?}");
        assert_eq!(rig.nobody().post("/api/session", &credentials).status, 503);
    }
    set_short(false);
    assert_eq!(rig.admin().get("/api/status").status, 200, "and nobody has to wait");
    for event in [Security::InvalidPassword, Security::InvalidAccount, Security::LoadLimit] {
        assert_eq!(rig.fake.state.events(event), 0);
    }
}
