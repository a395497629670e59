//! Replays the fuzzers' corpora: what they began with and what they found, given to the same readers.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod readers;
mod seeds;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use readers::{READERS, Reader};

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// A published package has no `fuzz/`; says so.
fn is_packaged() -> bool {
    let packaged = !Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").exists();
    if packaged {
        println!("skipped: the corpora are in the repository, not in the package");
    }
    packaged
}

/// The files of a corpus, by name; at least one.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = corpora().join(name);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}: no files", folder.display());
    files
}

/// Gives bytes to a reader; a panic names the corpus, the file and what was done to it.
fn replay(reader: Reader, bytes: &[u8], what: &dyn Fn() -> String) {
    if catch_unwind(AssertUnwindSafe(|| reader(bytes))).is_err() {
        panic!("{}: a reader panicked, see above", what());
    }
}

#[test]
fn every_file_of_every_corpus_is_read_or_rejected() {
    if is_packaged() {
        return;
    }
    let folders: BTreeSet<String> = std::fs::read_dir(corpora())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let names = READERS.map(|(name, _)| name.to_owned());
    assert_eq!(folders, BTreeSet::from(names), "a corpus for each reader");
    let mut count = 0;
    for (name, reader) in READERS {
        for (file, bytes) in corpus(name) {
            replay(reader, &bytes, &|| format!("{name}/{file}"));
            count += 1;
        }
    }
    println!("{count} files of {} corpora", READERS.len());
    assert!(count >= seeds::seeds().len(), "{count} files are fewer than the seeds");
}

#[test]
fn the_seeds_are_in_the_corpora_and_do_what_they_say() {
    if is_packaged() {
        return;
    }
    for (corpus, name, bytes) in seeds::seeds() {
        // the bits of trained weights differ between builds
        if corpus != "checkpoint" {
            let path = corpora().join(corpus).join(name);
            let found = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(found == bytes, "{}: not what its seed is", path.display());
        }
    }
    let good = |corpus: &str, name: &str| std::fs::read(corpora().join(corpus).join(name)).unwrap();
    densely::model::Model::from_bytes(&good("model", "full"), &[]).unwrap();
    let state = densely::store::Checkpoint::from_bytes(&good("checkpoint", "finished")).unwrap();
    assert_eq!(
        (state.history.len(), state.data_fingerprint),
        (2, readers::samples().fingerprint())
    );
}

/// Cut at every length, or at many where it is long; each byte, or many of them, set to something else.
#[test]
fn damaged_seeds_are_read_or_rejected() {
    let mut damaged = 0;
    for (name, reader) in READERS {
        for (corpus, file, bytes) in seeds::seeds() {
            if corpus != name {
                continue;
            }
            let step = bytes.len() / 400 + 1;
            for place in (0..bytes.len()).step_by(step) {
                replay(reader, &bytes[..place], &|| format!("{name}/{file} cut at {place}"));
                let mut bytes = bytes.clone();
                // a fixed mixture of single bits, zeros, ones and other digits
                let flip = [1u8 << (place % 8), bytes[place], !bytes[place], 1 + place as u8 % 7];
                bytes[place] ^= flip[place / step % 4];
                replay(reader, &bytes, &|| format!("{name}/{file} changed at {place}"));
                damaged += 2;
            }
        }
    }
    println!("{damaged} damaged seeds");
    assert!(damaged > 10_000, "{damaged}");
}

/// Writes the seeds; run it by `cargo test --test corpora -- --ignored` when they have changed.
#[test]
#[ignore = "writes into fuzz/corpus"]
fn write_seeds() {
    for (corpus, name, bytes) in seeds::seeds() {
        let folder = corpora().join(corpus);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}
