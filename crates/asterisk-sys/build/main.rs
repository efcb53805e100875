//! Makes the bindings from the headers of the Asterisk that the module is built for.
//!
//! The headers must be looked at alone: beside them in a folder such as `/usr/include` of
//! another system lies another libc, which clashes with the host's. So the include folder holds
//! `asterisk.h` and `asterisk/` and nothing else; where it is `/usr/include`, both are copied.
//! Which items are bound is said in [`allow`]; what they mean is said in Asterisk's headers.

mod allow;
mod key;

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Names the folder that holds `asterisk.h` and `asterisk/`, and nothing else.
const INCLUDE_DIR_VAR: &str = "ASTERISK_INCLUDE_DIR";

/// Where Debian's `asterisk-dev` puts the headers.
const SYSTEM_INCLUDE_DIR: &str = "/usr/include";

const CURE: &str = "Asterisk's headers were not found. Either install them \
    (`apt install asterisk-dev libclang-dev`), or set ASTERISK_INCLUDE_DIR to a folder that holds \
    only `asterisk.h` and `asterisk/` (`./test` makes one).";

fn main() {
    if let Err(message) = run() {
        println!("cargo::error={message}");
    }
}

fn run() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed={INCLUDE_DIR_VAR}");
    println!("cargo::rerun-if-changed=build");

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let include_dir = include_dir(&out_dir)?;
    println!("cargo::metadata=include={}", include_dir.display());

    bindgen::Builder::default()
        .header("build/wrapper.h")
        .clang_arg(format!("-I{}", include_dir.display()))
        // `RAII_VAR` and friends are blocks where the compiler is clang.
        .clang_arg("-fblocks")
        .clang_arg("-D_GNU_SOURCE")
        .allowlist_function(allow::FUNCTIONS.join("|"))
        .allowlist_type(allow::TYPES.join("|"))
        .allowlist_var(allow::VARIABLES.join("|"))
        .opaque_type(allow::OPAQUE_TYPES.join("|"))
        .raw_line(format!(
            "pub const ASTERISK_GPL_KEY: &::std::ffi::CStr = {};",
            key::literal(&include_dir)?
        ))
        .prepend_enum_name(false)
        .generate_cstr(true)
        .generate_comments(false)
        .derive_debug(false)
        .layout_tests(false)
        .size_t_is_usize(true)
        .merge_extern_blocks(true)
        .formatter(bindgen::Formatter::None)
        .generate()
        .map_err(|error| format!("bindgen could not read Asterisk's headers: {error}"))?
        .write_to_file(out_dir.join("bindings.rs"))
        .map_err(|error| format!("writing the bindings: {error}"))
}

/// Finds the headers, and sees to it that they lie alone in their folder.
fn include_dir(out_dir: &Path) -> Result<PathBuf, String> {
    if let Some(dir) = env::var_os(INCLUDE_DIR_VAR) {
        let dir = PathBuf::from(dir);
        let header = dir.join("asterisk.h");
        if !header.is_file() {
            return Err(format!("{INCLUDE_DIR_VAR}: no {}. {CURE}", header.display()));
        }
        println!("cargo::rerun-if-changed={}", dir.display());
        return Ok(dir);
    }

    let system = Path::new(SYSTEM_INCLUDE_DIR);
    if !system.join("asterisk.h").is_file() {
        return Err(CURE.to_owned());
    }
    println!("cargo::rerun-if-changed={}", system.join("asterisk.h").display());
    println!("cargo::rerun-if-changed={}", system.join("asterisk").display());
    let alone = out_dir.join("include");
    copy_headers(system, &alone)
        .map_err(|error| format!("copying Asterisk's headers to {}: {error}", alone.display()))?;
    Ok(alone)
}

fn copy_headers(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    fs::copy(from.join("asterisk.h"), to.join("asterisk.h"))?;
    copy_folder(&from.join("asterisk"), &to.join("asterisk"))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
