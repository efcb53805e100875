//! Universal variables from the dialplan of two servers.

use anyhow::{Result, ensure};
use tandem_lab::{Dialplan, Lab};

use crate::scene::Scene;

/// What must come out as it went in.
const ODD: &[&str] =
    &["a,b,,c", "say \"hi\"", "a=b==c", "Grüße, 世界 😀", " blanks ", "$1 (x) 100% #&|'", ""];
/// The longest value that can be set (docs/dialplan.md): what is longer, Asterisk may have cut.
const SET_BYTES: usize = 4094;
/// The longest that can be read, whoever set it.
const READ_BYTES: usize = 4095;
/// A line of `extensions.conf` has 8 kB; long values are put together from a variable of this length.
const HEAD_BYTES: usize = 4000;

pub(super) fn tell(scene: &mut Scene<'_>) -> Result<()> {
    let (mut a, mut b) = (Dialplan::on(scene.lab.a())?, Dialplan::on(scene.lab.b())?);
    each_step_is_seen(scene, &mut a, &mut b)?;
    odd_values_survive(&mut a, &mut b)?;
    scene.say.holds(
        "commas, quotes, equals signs, blanks, UTF-8 and nothing at all come out as they went in",
    );
    long_values_survive(scene.lab, &mut a, &mut b)?;
    scene.say.holds(&format!(
        "so do {SET_BYTES} bytes; one more, or what Asterisk has cut, is INVALID and changes nothing"
    ));
    long_values_are_read_whole(scene.lab, &mut b)?;
    scene.say.holds(&format!(
        "of what other clients set, {READ_BYTES} bytes are read; one more is INVALID, not cut"
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
        gives(a, &[format!("SetUniVar(odd={value})")], "${UNIVARSTATUS}", "OK")?;
        gives(b, &["GetUniVar(X=odd)"], "<${X}><${UNIVAR(odd)}>", &format!("<{value}><{value}>"))?;
    }
    gives(b, &["DelUniVar(odd)"], "${UNIVARSTATUS}", "OK")
}

fn long_values_survive(lab: &Lab, a: &mut Dialplan<'_>, b: &mut Dialplan<'_>) -> Result<()> {
    let head = format!("Set(H={})", "x".repeat(HEAD_BYTES));
    let written = |bytes: usize| format!("${{H}}{}", "y".repeat(bytes - HEAD_BYTES));
    let most = "x".repeat(HEAD_BYTES) + &"y".repeat(SET_BYTES - HEAD_BYTES);

    let set = format!("SetUniVar(long={})", written(SET_BYTES));
    gives(a, &[&head, &set], "${UNIVARSTATUS}", "OK")?;
    ensure!(stored(lab, "long")? == most, "long is not what was set");
    for copy in ["SetUniVar(copy=${X})", "Set(UNIVAR(copy)=${UNIVAR(long)})"] {
        gives(b, &["DelUniVar(copy)", "GetUniVar(X=long)", copy], "${UNIVARSTATUS}", "OK")?;
        ensure!(stored(lab, "copy")? == most, "B has not read it whole for {copy}");
    }
    let more = written(SET_BYTES + 1);
    for refused in [
        [format!("Set(L={more})"), format!("SetUniVar(long={more})")],
        [format!("Set(L={more})"), format!("Set(UNIVAR(long)={more})")],
        // ${L} is cut by Asterisk, before anybody else sees it.
        [format!("Set(L={more}{more})"), "SetUniVar(long=${L})".to_owned()],
    ] {
        let [first, then] = &refused;
        gives(a, &[&head, first, then], "${UNIVARSTATUS}", "INVALID")?;
        ensure!(stored(lab, "long")? == most, "what was refused has changed something");
    }
    gives(a, &["DelUniVar(long,copy)"], "${UNIVARSTATUS}", "OK")
}

fn long_values_are_read_whole(lab: &Lab, b: &mut Dialplan<'_>) -> Result<()> {
    for (bytes, status) in [(READ_BYTES, "OK"), (READ_BYTES + 1, "INVALID")] {
        for cache in [1, 2] {
            lab.cache(cache).set("foreign", &"z".repeat(bytes), 0)?;
        }
        // A value that long is not set again; its end tells whether all of it is there.
        let end = if status == "OK" { "z" } else { "" };
        let read = format!("${{X:{}}}/${{UNIVARSTATUS}}", READ_BYTES - 1);
        for get in ["GetUniVar(X=foreign)", "Set(X=${UNIVAR(foreign)})"] {
            gives(b, &["Set(X=before)", get], &read, &format!("{end}/{status}"))?;
        }
    }
    for cache in [1, 2] {
        lab.cache(cache).command("delete foreign")?;
    }
    Ok(())
}

fn gives(
    dialplan: &mut Dialplan<'_>,
    lines: &[impl AsRef<str>],
    result: &str,
    wanted: &str,
) -> Result<()> {
    let lines: Vec<_> = lines.iter().map(AsRef::as_ref).collect();
    let found = dialplan.run(&lines, result)?;
    ensure!(found == wanted, "{lines:?} gave '{found}', not '{wanted}'");
    Ok(())
}

/// What the caches hold, as any client reads it.
fn stored(lab: &Lab, key: &str) -> Result<String> {
    let found = [lab.cache(1).get(key)?, lab.cache(2).get(key)?];
    Ok(found.into_iter().flatten().next().unwrap_or_default())
}
