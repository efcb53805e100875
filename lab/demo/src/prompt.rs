//! What people may try when the story is over: a few words typed here, or a server's own console.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use anyhow::{Result, bail};
use tandem_lab::{Asterisk, LabError};

use crate::console;
use crate::scene::{HOUR, SOON, Scene};

const HELP: &str = "\
Things to try, here:

  b univar PEERA_200                 any command on the console of a, b or gateway
  gateway universal show servers     how the caches are, seen from there
  dial 200                           phone 300 calls through the gateway: 200, 201, *200 ...
  hangup                             300 hangs up
  register 200 a                     phone 200 registers on a or b (unregister 200 a: leaves)
  kill a                             SIGKILL to a, b, gateway, cache1 or cache2 (start a: comes back)
  help, quit";

/// Where nobody can type, there will be no line, and that is no reason to end.
const NO_TERMINAL: &str = "Commands are read from a terminal only, and standard input is none.";

/// A line that was typed, or nothing when all is over.
pub(crate) type Typed = Option<String>;

/// Does what is typed until it is `quit`, or until nothing comes any more.
pub(crate) fn run(scene: &Scene<'_>, typed: &Sender<Typed>, lines: &Receiver<Typed>) {
    let typing = io::stdin().is_terminal();
    match typing {
        true => println!("\n{HELP}\n\nIn another terminal, a server's own console:\n"),
        false => println!("\n{NO_TERMINAL}\n\nA server's own console:\n"),
    }
    for server in scene.lab.servers() {
        println!("  {:<8} {}", server.name(), server.console_command());
    }
    if let Some(console) = &scene.console {
        println!("\nThe console, with phones that call each other, in your browser:\n");
        println!("  {}", console.invitation());
    }
    println!("\nCtrl-C ends everything.");
    if typing {
        listen(typed.clone());
    }
    let (stop, stopped) = mpsc::channel();
    thread::scope(|threads| {
        threads.spawn(move || console::live(scene.lab, &stopped));
        read(scene, lines, typing);
        drop(stop);
    });
}

fn read(scene: &Scene<'_>, lines: &Receiver<Typed>, typing: bool) {
    loop {
        if typing {
            print!("> ");
            // A prompt that is not seen does no harm.
            let _seen = io::stdout().flush();
        }
        let Ok(Some(line)) = lines.recv() else { return };
        match obey(scene, line.trim()) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => println!("{error:#}"),
        }
    }
}

/// Reads on a thread of its own, so that a signal can end what waits for a line.
fn listen(typed: Sender<Typed>) {
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(io::Result::ok) {
            if typed.send(Some(line)).is_err() {
                return;
            }
        }
        // Ctrl-D; nobody listens when all is over already.
        let _over = typed.send(None);
    });
}

/// Does what a line says; false is the end.
fn obey(scene: &Scene<'_>, line: &str) -> Result<bool> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (verb, rest.trim()) {
        ("", _) => {}
        ("quit" | "exit", _) => return Ok(false),
        ("help" | "?", _) => println!("{HELP}"),
        ("dial", "") => println!("dial whom? As in: dial 200"),
        ("dial", number) => dial(scene, number)?,
        ("hangup", _) => scene.caller.hang_up()?,
        ("register", what) => scene.desk.register_at(desk_at(scene, what)?, HOUR)?,
        ("unregister", what) => scene.desk.unregister_at(desk_at(scene, what)?)?,
        ("kill", "cache1") => scene.lab.cache(1).kill(),
        ("kill", "cache2") => scene.lab.cache(2).kill(),
        ("kill", name) => server(scene, name)?.kill(),
        ("start", "cache1") => scene.lab.cache(1).start()?,
        ("start", "cache2") => scene.lab.cache(2).start()?,
        ("start", name) => server(scene, name)?.start()?,
        (name, command) => print!("{}", server(scene, name)?.cli(command)?),
    }
    Ok(true)
}

fn dial(scene: &Scene<'_>, number: &str) -> Result<()> {
    let gateway = scene.lab.gateway();
    let mark = gateway.log_mark()?;
    scene.caller.dial(gateway, number)?;
    let outcome = scene.caller.wait_established(SOON);
    scene.say.calls_since(gateway, mark)?;
    match outcome {
        Ok(()) => println!("answered; 'hangup' ends it"),
        Err(LabError::Refused { answer, .. }) => println!("turned away: {answer}"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn server<'lab>(scene: &Scene<'lab>, name: &str) -> Result<&'lab Asterisk> {
    let found = scene.lab.servers().iter().find(|server| server.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| anyhow::anyhow!("'{name}'? try help"))
}

/// The server of "200 a".
fn desk_at<'lab>(scene: &Scene<'lab>, what: &str) -> Result<&'lab Asterisk> {
    match what.split_once(' ') {
        Some((number, name)) if number == scene.desk.number() => server(scene, name.trim()),
        _ => bail!("only 200 can be moved, as in: register 200 a"),
    }
}
