//! Finds the system's OpenBLAS and records its version; where it is missing, says how to get it.
//!
//! `openblas-src` emits the linker flags. It does so blindly when pkg-config does not know the library, and the
//! build would then end in a page of linker output; the trial link here ends it with one readable message instead.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_OPENBLAS").is_none() || env::var_os("DOCS_RS").is_some() {
        return;
    }
    // Debian's alternatives system may switch the library without touching a tracked file.
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");
    let version = match pkg_config::Config::new().cargo_metadata(false).probe("openblas") {
        Ok(library) => library.version,
        Err(_) if links_without_pkg_config() => "unknown".to_owned(),
        Err(_) => {
            for line in HELP.lines() {
                println!("cargo::error={line}");
            }
            return;
        }
    };
    println!("cargo::rustc-env=DENSELY_OPENBLAS_BUILD_VERSION={version}");
}

const HELP: &str = "\
OpenBLAS was not found: neither pkg-config nor a trial link with -lopenblas knows it.
Install it, or run ./setup.sh, which does that where it can:
  Debian, Ubuntu:  sudo apt-get install libopenblas-dev pkg-config
  Fedora:          sudo dnf install openblas-devel pkgconf-pkg-config
  Arch:            sudo pacman -S openblas pkgconf
  Alpine:          sudo apk add openblas-dev pkgconf
  macOS:           brew install openblas pkg-config
    and then:      export PKG_CONFIG_PATH=\"$(brew --prefix openblas)/lib/pkgconfig\"
Or build in pure Rust, without OpenBLAS:
  cargo build --release --no-default-features --features cli,embedded-mnist";

/// Links a program that calls OpenBLAS, with the C compiler that Rust links with.
fn links_without_pkg_config() -> bool {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let source = out_dir.join("openblas_probe.c");
    let program =
        "char *openblas_get_config(void);\nint main(void) { return !openblas_get_config(); }\n";
    fs::write(&source, program).is_ok() && link(&source, &out_dir.join("openblas_probe"))
}

fn link(source: &Path, output: &Path) -> bool {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(compiler);
    command.arg(source).arg("-o").arg(output).arg("-lopenblas");
    command.output().is_ok_and(|result| result.status.success())
}
