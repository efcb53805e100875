//! Universal variables from the dialplan of two servers.

use anyhow::{Result, ensure};
use tandem_lab::{Dialplan, Lab};

use crate::scene::Scene;

/// What must come out as it went in.
const ODD: &[&str] =
    &["a,b,,c", "say \"hi\"", "a=b==c", "Grüße, 世界 😀", " blanks ", "$1 (x) 100% #&|'", ""];
/// The most between the parentheses of an application (docs/dialplan.md).
const ARGUMENT_BYTES: usize = 8190;
/// The most that `${UNIVAR()}` carries.
const FUNCTION_BYTES: usize = 4095;
/// A line of extensions.conf is not long enough for the longest values: they are put together from this.
const HALF_BYTES: usize = 4000;

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let (mut a, mut b) = (Dialplan::on(scene.lab.a())?, Dialplan::on(scene.lab.b())?);
    each_step_is_seen(scene, &mut a, &mut b)?;
    odd_values_survive(&mut a, &mut b)?;
    scene.say.holds(
        "commas, quotes, equals signs, blanks, UTF-8 and nothing at all come out as they went in",
    );
    long_values_survive(scene.lab, &mut a, &mut b)?;
    scene.say.holds(&format!(
        "{ARGUMENT_BYTES} bytes of SetUniVar and {FUNCTION_BYTES} of ${{UNIVAR()}} are carried whole; one more is INVALID"
    ));
    Ok(())
}

fn each_step_is_seen(scene: &Scene<'_>, a: &mut Dialplan<'_>, b: &mut Dialplan<'_>) -> Result<()> {
    let lab = scene.lab;
    let console = |server, wanted: &str| -> Result<()> {
        let printed = scene.say.console(server, "univar greeting")?;
        ensure!(printed.trim_end() == format!("Universal variable greeting {wanted}"), "{printed}");
        Ok(())
    };
    scene.say.tell("A sets it, B reads it:");
    gives(a, &["SetUniVar(greeting=hello)"], "${UNIVARSTATUS}", "OK")?;
    gives(b, &["GetUniVar(X=greeting)"], "${X}/${UNIVARSTATUS}", "hello/OK")?;
    console(lab.b(), "has a value of hello")?;
    scene.say.tell("B changes it, A reads it:");
    gives(b, &["Set(UNIVAR(greeting)=good evening)"], "${UNIVARSTATUS}", "OK")?;
    gives(a, &["GetUniVar(X=greeting)"], "${X}/${UNIVARSTATUS}", "good evening/OK")?;
    console(lab.a(), "has a value of good evening")?;
    scene.say.tell("B deletes it, A finds nothing:");
    gives(b, &["DelUniVar(greeting)"], "${UNIVARSTATUS}", "OK")?;
    gives(a, &["GetUniVar(X=greeting)"], "${X}/${UNIVARSTATUS}", "/MISSING")?;
    console(lab.a(), "is not set")
}

fn odd_values_survive(a: &mut Dialplan<'_>, b: &mut Dialplan<'_>) -> Result<()> {
    for value in ODD {
        gives(a, &[&format!("SetUniVar(odd={value})")], "${UNIVARSTATUS}", "OK")?;
        gives(b, &["GetUniVar(X=odd)"], "<${X}><${UNIVAR(odd)}>", &format!("<{value}><{value}>"))?;
    }
    gives(b, &["DelUniVar(odd)"], "${UNIVARSTATUS}", "OK")
}

fn long_values_survive(lab: &Lab, a: &mut Dialplan<'_>, b: &mut Dialplan<'_>) -> Result<()> {
    let half = format!("Set(H={})", "x".repeat(HALF_BYTES));
    let value = |bytes: usize| {
        let halves = bytes / HALF_BYTES;
        (
            "${H}".repeat(halves) + &"y".repeat(bytes % HALF_BYTES),
            "x".repeat(halves * HALF_BYTES) + &"y".repeat(bytes % HALF_BYTES),
        )
    };
    let most = ARGUMENT_BYTES - "m=".len();
    let (written, whole) = value(most);
    gives(a, &[&half, &format!("SetUniVar(m={written})")], "${UNIVARSTATUS}", "OK")?;
    // B carries it on under another name: what is stored then went through its variables whole.
    gives(b, &["GetUniVar(X=m)", "SetUniVar(n=${X})"], "${UNIVARSTATUS}", "OK")?;
    for name in ["m", "n"] {
        ensure!(stored(lab, name)? == whole, "{name} is not what was set");
    }
    let (written, _) = value(most + 1);
    gives(a, &[&half, &format!("SetUniVar(m={written})")], "${UNIVARSTATUS}", "INVALID")?;
    ensure!(stored(lab, "m")? == whole, "a refused value has changed what was there");

    let read = "${LEN(${UNIVAR(f)})}/${UNIVARSTATUS}";
    let (written, _) = value(FUNCTION_BYTES);
    gives(a, &[&half, &format!("SetUniVar(f={written})")], read, &format!("{FUNCTION_BYTES}/OK"))?;
    let (written, _) = value(FUNCTION_BYTES + 1);
    gives(a, &[&half, &format!("SetUniVar(f={written})")], read, "0/INVALID")?;
    gives(a, &["DelUniVar(m,n,f)"], "${UNIVARSTATUS}", "OK")
}

fn gives(dialplan: &mut Dialplan<'_>, lines: &[&str], result: &str, wanted: &str) -> Result<()> {
    let found = dialplan.run(lines, result)?;
    ensure!(found == wanted, "{lines:?} gave '{found}', not '{wanted}'");
    Ok(())
}

/// What the caches hold, as any client reads it.
fn stored(lab: &Lab, key: &str) -> Result<String> {
    let found = [lab.cache(1).get(key)?, lab.cache(2).get(key)?];
    Ok(found.into_iter().flatten().next().unwrap_or_default())
}
