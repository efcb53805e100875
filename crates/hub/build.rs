//! The console is built before this (`web/build`), and within the program: another one makes another
//! program.

fn main() {
    println!("cargo::rerun-if-changed=../../web/dist");
}
