//! Universal variables from the dialplan of two servers.

use anyhow::{Result, ensure};
use tandem_lab::{Dialplan, Lab};

use crate::scene::Scene;

/// What must come out as it went in.
const ODD: &[&str] =
    &["a,b,,c", "say \"hi\"", "a=b==c", "Grüße, 世界 😀", " blanks ", "$1 (x) 100% #&|'", ""];
/// The most between the parentheses of an application (docs/dialplan.md).
const ARGUMENT_BYTES: usize = 8190;
/// The most that `${VAR}` and `${UNIVAR()}` carry.
const VALUE_BYTES: usize = 4095;
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
        "{ARGUMENT_BYTES} bytes are written whole and {VALUE_BYTES} are read whole; one more is INVALID, not cut"
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
    let long = |bytes| Long { name: "long", bytes };
    let most = ARGUMENT_BYTES - "long=".len();
    gives(a, &long(most).lines(), "${UNIVARSTATUS}", "OK")?;
    ensure!(stored(lab, "long")? == long(most).value(), "it is not what was set");
    gives(a, &long(most + 1).lines(), "${UNIVARSTATUS}", "INVALID")?;
    ensure!(stored(lab, "long")? == long(most).value(), "what was refused has changed something");

    for (bytes, status, copy) in [
        (VALUE_BYTES, "OK", long(VALUE_BYTES).value()),
        (VALUE_BYTES + 1, "INVALID", String::new()),
    ] {
        gives(a, &long(bytes).lines(), "${UNIVARSTATUS}", "OK")?;
        for read in ["GetUniVar(X=long)", "Set(X=${UNIVAR(long)})"] {
            // B carries it on: what is stored then has gone through its variables.
            let carry_on = [read, "Set(READ=${UNIVARSTATUS})", "SetUniVar(copy=${X})"];
            gives(b, &carry_on, "${READ}/${UNIVARSTATUS}", &format!("{status}/OK"))?;
            ensure!(
                stored(lab, "copy")? == copy,
                "{read} of {bytes} bytes was not as it should be"
            );
        }
    }
    gives(a, &["DelUniVar(long,copy)"], "${UNIVARSTATUS}", "OK")
}

/// A value too long for a line of `extensions.conf`: the line is put together from a variable.
struct Long {
    name: &'static str,
    bytes: usize,
}

impl Long {
    fn lines(&self) -> [String; 2] {
        let (halves, rest) = (self.bytes / HALF_BYTES, self.bytes % HALF_BYTES);
        let (half, halves, rest) =
            ("x".repeat(HALF_BYTES), "${H}".repeat(halves), "y".repeat(rest));
        [format!("Set(H={half})"), format!("SetUniVar({}={halves}{rest})", self.name)]
    }

    fn value(&self) -> String {
        let rest = self.bytes % HALF_BYTES;
        "x".repeat(self.bytes - rest) + &"y".repeat(rest)
    }
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
