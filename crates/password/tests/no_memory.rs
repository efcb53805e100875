//! A password is not wrong because there is no memory. Alone in its file: the memory is everybody's.

mod short_memory;

use password::{NoMemory, PasswordError};
use short_memory::set_short;

#[test]
fn without_memory_a_password_is_neither_right_nor_wrong() {
    let kept = password::hash("correct horse").expect("a good one");
    set_short(true);
    let said = [
        password::is_right("correct horse", Some(&kept)),
        password::is_right("another one", Some(&kept)),
        password::is_right("anything at all", None),
    ];
    let hashed = password::hash("correct horse");
    set_short(false);
    assert_eq!(said, [Err(NoMemory); 3]);
    assert_eq!(hashed, Err(PasswordError::Failed));
    assert_eq!(password::is_right("correct horse", Some(&kept)), Ok(true));
}
